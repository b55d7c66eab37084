"""Repositories made for Algorithmia, as builds take them: real git, uv, host and store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slipway.registry import environments
from slipway.registry.files import DataPath, Files
from slipway.registry.uploads import Chunks
from tests.contract.release.wheels import make_wheel
from tests.contract.release.workshop import OWNER, Workshop

CONF = json.dumps({"username": OWNER, "algoname": "echo", "language": "python3"})
MODEL = """
from adk import ADK

def load(model_data):
    return {"words": open(model_data.get_model("words")).read()}

def apply(input, globals):
    return globals["words"]

ADK(apply, load).init("local")
"""
MANIFEST = {"required_files": [{"name": "words", "source_uri": "data://.my/models/words"}], "optional_files": []}


async def put(workshop: Workshop, content: bytes, owner: str = OWNER) -> None:
    """Upload data://OWNER/models/words."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    files = Files(workshop.settings.files_directory)
    directory = DataPath(owner, ("models",))
    if not await files.exists(directory):
        await files.make_directory(directory)
    await files.write(directory.child("words"), Chunks(chunks()))


async def test_a_classic_repository_pushed_over_the_template_is_taken_as_it_says(workshop: Workshop) -> None:
    conf = json.dumps({"username": OWNER, "algoname": "Other", "language": "python3"})
    build = await workshop.built(
        {"algorithmia.conf": conf, "src/Other.py": "def apply(input):\n    return input + 1\n"}
    )
    assert (build.status, build.reason) == ("succeeded", "")
    assert (await workshop.version(build)).entry == "src/Other.py"


async def test_the_templates_sample_is_not_for_another_source(workshop: Workshop) -> None:
    build = await workshop.built({"src/echo.py": "def apply(input):\n    return input['rows']\n"})
    assert build.status == "succeeded"
    assert "answers its sample input" not in await workshop.log(build)


async def test_required_model_files_are_put_into_the_version(workshop: Workshop) -> None:
    await put(workshop, b"weights")
    files = {"algorithmia.conf": CONF, "src/echo.py": MODEL, "model_manifest.json": json.dumps(MANIFEST)}
    build = await workshop.built(files)
    assert (build.status, build.reason) == ("succeeded", "")
    assert "model files 1 required, 7 bytes fetched" in await workshop.log(build)
    directory = Path((await workshop.version(build)).directory)
    place = directory / ".slipway" / "files" / hashlib.sha256(b"data://.my/models/words").hexdigest()
    assert place.read_bytes() == b"weights"
    assert place.stat().st_mode & 0o222 == 0


async def test_a_model_file_that_a_build_cannot_have_is_left_to_the_worker_by_name(workshop: Workshop) -> None:
    files = {"algorithmia.conf": CONF, "src/echo.py": MODEL, "model_manifest.json": json.dumps(MANIFEST)}
    build = await workshop.built(files)
    assert build.status == "failed"
    assert "the model file 'words' cannot be had from data://.my/models/words: " in build.reason
    assert "words: data://.my/models/words is left to the workers: " in await workshop.log(build)


async def test_a_manifest_that_is_none_is_named(workshop: Workshop) -> None:
    build = await workshop.built({"algorithmia.conf": CONF, "src/echo.py": MODEL, "model_manifest.json": "{"})
    assert build.reason.startswith("model_manifest.json: ")


async def test_the_client_is_installed_where_it_is_imported_and_not_asked_for(workshop: Workshop, wheels: Path) -> None:
    source = "import Algorithmia\n\ndef apply(input):\n    return Algorithmia.NAME\n"
    make_wheel(wheels, "algorithmia", "2.0.5", {"Algorithmia/__init__.py": "NAME = 'client'\n"})
    files = {"algorithmia.conf": CONF, "src/echo.py": source, "requirements.txt": "greeting\n"}
    build = await workshop.built(files)
    assert (build.status, build.reason) == ("succeeded", "")
    log = await workshop.log(build)
    assert "the code imports Algorithmia, which the requirements do not name: algorithmia>=2.0.5,<3 is added" in log
    assert "lock 2 packages" in log


@pytest.mark.parametrize("line", ["algorithmia", "Algorithmia==2.0.4", "algorithmia>=1.0.0,<3.0  # the client"])
async def test_a_client_that_is_asked_for_is_taken_as_it_is(workshop: Workshop, wheels: Path, line: str) -> None:
    make_wheel(wheels, "algorithmia", "2.0.4", {"Algorithmia/__init__.py": "NAME = 'client'\n"})
    source = "import Algorithmia\n\ndef apply(input):\n    return Algorithmia.NAME\n"
    build = await workshop.built({"algorithmia.conf": CONF, "src/echo.py": source, "requirements.txt": f"{line}\n"})
    assert (build.status, build.reason) == ("succeeded", "")
    assert "is added" not in await workshop.log(build)


async def test_an_old_client_gets_the_release_that_it_works_with(workshop: Workshop, wheels: Path) -> None:
    make_wheel(wheels, "algorithmia", "1.1.4", {"Algorithmia/__init__.py": ""}, requires=["algorithmia-api-client"])
    for version in ("1.5.1", "1.5.5"):
        make_wheel(wheels, "algorithmia_api_client", version)
    source = "import Algorithmia, algorithmia_api_client\n\ndef apply(input):\n    return input\n"
    files = {"algorithmia.conf": CONF, "src/echo.py": source, "requirements.txt": "algorithmia==1.1.4\n"}
    build = await workshop.built(files)
    assert (build.status, build.reason) == ("succeeded", "")
    async with workshop.store.read() as connection:
        environment = await environments.get(connection, (await workshop.version(build)).environment)
    assert environment is not None
    assert "algorithmia-api-client==1.5.1" in environment.lock


async def test_a_folder_of_the_platforms_name_is_refused(workshop: Workshop) -> None:
    build = await workshop.built({".slipway/files/x": "forged"})
    assert build.reason == "the repository has a folder .slipway, whose name is the platform's: rename it"
