"""From a commit to a version: real git, uv, host, workers and store."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from pathlib import Path

import pytest

from slipway.errors import AlreadyPublished, BuildFailed, NoSuchVersion
from slipway.registry import algorithms, builds, jobs, versions
from slipway.release.hosts import HostLost
from slipway.release.interpreters import Interpreters
from slipway.release.publish import Publication, publish
from slipway.types import Arm
from tests.conditions import eventually_async
from tests.contract.release.wheels import make_slow_wheel
from tests.contract.release.workshop import MANIFEST, OWNER, Workshop

ECHO = "def apply(input):\n    return input\n"
RELEASE = '[algorithm]\nname = "echo"\n[release]\non_push = "{kind}"\n'


async def test_the_template_builds_as_it_is(workshop: Workshop) -> None:
    head = await workshop.sources.head(OWNER, "echo")
    assert head is not None
    build = await workshop.build(head)
    assert (build.status, build.reason) == ("succeeded", "")
    log = await workshop.log(build)
    assert "check loads and answers its sample input" in log
    assert f"built {head} in " in log.splitlines()[-1]


async def test_a_version_names_all_that_starting_it_needs(workshop: Workshop) -> None:
    manifest = MANIFEST.format(name="echo") + '[resources]\nmemory = "256 MiB"\n[scaling]\nmax_replicas = 2\n'
    commit = await workshop.commit({"src/echo.py": ECHO, "requirements.txt": "greeting\n", "slipway.toml": manifest})
    version = await workshop.version(await workshop.build(commit))
    assert (version.commit, version.semantic_version, version.entry) == (commit, None, "src/echo.py")
    assert (version.resources.memory_bytes, version.scaling.max_replicas) == (256 * 2**20, 2)
    assert (Path(version.directory) / version.entry).read_text() == ECHO
    assert list(Path(version.directory).glob("src/__pycache__/echo.*.pyc"))
    assert Path(version.interpreter).parent.parent.name == version.environment


async def test_an_unchanged_environment_is_reused_without_a_process(workshop: Workshop) -> None:
    first = await workshop.built({"requirements.txt": "greeting\n"})
    second = await workshop.built({"src/echo.py": ECHO})
    assert "made" in await workshop.log(first)
    log = await workshop.log(second)
    assert "lock 1 packages, reused" in log
    assert "… reused" in log
    assert (await workshop.version(first)).environment == (await workshop.version(second)).environment


async def test_building_a_commit_again_answers_with_what_is_there(workshop: Workshop) -> None:
    first = await workshop.built({"src/echo.py": ECHO})
    again = await workshop.builds.request(OWNER, "echo", first.commit, OWNER)
    assert again == first
    assert await workshop.claim() is None


async def test_a_commit_that_is_being_built_is_not_built_twice(workshop: Workshop) -> None:
    commit = await workshop.commit({"src/echo.py": ECHO})
    requests = [workshop.builds.request(OWNER, "echo", commit, OWNER) for _ in range(5)]
    assert len({build.id for build in await asyncio.gather(*requests)}) == 1


async def test_a_commit_that_failed_may_be_built_again(workshop: Workshop) -> None:
    failed = await workshop.built({"src/echo.py": "1/0\n"})
    again = await workshop.builds.request(OWNER, "echo", failed.commit, OWNER)
    assert failed.status == "failed"
    assert again.id != failed.id


async def test_a_commit_that_is_not_there_is_refused(workshop: Workshop) -> None:
    for commit in ("0" * 40, "HEAD", "--upload-pack=true", "main"):
        with pytest.raises(NoSuchVersion):
            await workshop.builds.request(OWNER, "echo", commit, OWNER)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"src/echo.py": "import sklearn\n" + ECHO}, "No module named 'sklearn': add scikit-learn to requirements.txt"),
        ({"src/echo.py": "def apply(input):\n    retrn 1\n"}, "SyntaxError: invalid syntax (src/echo.py line 2)"),
        (
            {"src/echo.py": "def load():\n    raise OSError('no weights')\n" + ECHO},
            "it does not load: OSError: no weights (src/echo.py line 2)",
        ),
        (
            {"requirements.txt": "greeting>=2\npicky\n"},
            "all versions of picky depend on greeting<2 and requirements.txt asks for greeting>=2",
        ),
        ({"requirements.txt": "nothing-of-that-name\n"}, "nothing-of-that-name was not found"),
        ({"src/echo.py": None}, "the repository has no src/echo.py: add it with `def apply(input)`"),
        (
            {"slipway.toml": '[algorithm]\nname = "echo"\n[[gate]]\nkind = "unit"\n'},
            "'gate' is not supported yet (line 3)",
        ),
        ({"slipway.toml": MANIFEST.format(name="echo") + '[environment]\npython = "2.7"\n'}, "no Python 2.7"),
    ],
)
async def test_a_failed_build_says_why_in_one_line(
    workshop: Workshop, files: dict[str, str | None], reason: str
) -> None:
    build = await workshop.built(files)
    assert build.status == "failed"
    assert reason in build.reason
    assert "\n" not in build.reason
    assert build.reason in (await workshop.log(build)).splitlines()[-1]
    assert not (workshop.settings.versions_directory / build.id).exists()


async def test_a_failed_build_leaves_what_is_live_alone(workshop: Workshop) -> None:
    algorithm = await workshop.algorithm("calm")
    good = await workshop.built({"slipway.toml": RELEASE.replace("echo", "calm").format(kind="minor")}, "calm")
    version = await publish(workshop.store, await workshop.version(good), Publication())
    route = await workshop.route(algorithm)
    failed = await workshop.built({"src/calm.py": "1/0\n"}, "calm")
    assert failed.status == "failed"
    assert await workshop.route(algorithm) == route
    async with workshop.store.read() as connection:
        page, _ = await versions.page(connection, algorithm.id)
    assert [found.id for found in page] == [version.id]


async def test_on_push_publishes_with_the_build(workshop: Workshop) -> None:
    first = await workshop.built({"slipway.toml": RELEASE.format(kind="minor")})
    second = await workshop.built({"slipway.toml": RELEASE.format(kind="patch")})
    assert [(await workshop.version(build)).semantic_version for build in (first, second)] == ["0.1.0", "0.1.1"]
    assert (await workshop.log(second)).splitlines()[-1].endswith("published as 0.1.1")
    told = [(event.verb, event.outcome, event.detail.get("version")) for event in workshop.events]
    assert told[:2] == [("build", "done", None), ("version.publish", "done", "0.1.0")]


async def test_a_build_that_ends_late_does_not_go_live_over_a_newer_commit(workshop: Workshop) -> None:
    late = await workshop.builds.request(
        OWNER, "echo", await workshop.commit({"slipway.toml": RELEASE.format(kind="minor")}), OWNER
    )
    late_job = await workshop.claim()
    newer = await workshop.built({"src/echo.py": ECHO})
    assert late_job is not None
    await workshop.builds.run(late_job)
    async with workshop.store.read() as connection:
        late = await builds.get(connection, late.id)
    assert (await workshop.version(newer)).semantic_version == "0.1.0"
    assert (await workshop.version(late)).semantic_version is None


async def test_public_versions_become_live_and_private_ones_do_not(workshop: Workshop) -> None:
    algorithm = await workshop.algorithm("shown")
    first = await workshop.version(await workshop.built({"src/shown.py": ECHO}, "shown"))
    await publish(workshop.store, first, Publication(callability="public"))
    assert (route := await workshop.route(algorithm)) is not None
    assert route.arms == (Arm(version_id=first.id),)
    second = await workshop.version(await workshop.built({"src/shown.py": ECHO + "\n"}, "shown"))
    await publish(workshop.store, second, Publication(callability="private", version_type="major"))
    assert await workshop.route(algorithm) == route


async def test_publishing_again_with_nothing_new_answers_the_same(workshop: Workshop) -> None:
    version = await workshop.version(await workshop.built({"src/echo.py": ECHO}))
    asked = Publication(version_type="minor", callability="public", release_notes="first")
    published = await publish(workshop.store, version, asked)
    assert published.semantic_version == "0.1.0"
    assert await publish(workshop.store, version, asked) == published
    assert await publish(workshop.store, version, Publication()) == published
    with pytest.raises(AlreadyPublished):
        await publish(workshop.store, version, Publication(callability="private"))


async def test_publications_at_once_get_different_numbers(workshop: Workshop) -> None:
    made = [await workshop.version(await workshop.built({"note.txt": str(number)})) for number in range(3)]
    published = await asyncio.gather(*(publish(workshop.store, version, Publication()) for version in made))
    assert sorted(version.semantic_version or "" for version in published) == ["0.1.0", "0.2.0", "0.3.0"]


async def test_the_log_can_be_followed_while_the_build_runs(workshop: Workshop) -> None:
    commit = await workshop.commit({"src/echo.py": ECHO})
    build = await workshop.builds.request(OWNER, "echo", commit, OWNER)
    followed = workshop.builds.follow(build.id)
    first = asyncio.ensure_future(anext(followed))
    running = asyncio.create_task(workshop.run_jobs())
    assert commit in await asyncio.wait_for(first, 10)
    rest = [line async for line in followed]
    await running
    assert "\n".join([await first, *rest]) + "\n" == await workshop.log(build)
    assert [line async for line in workshop.builds.follow(build.id)] == [await first, *rest]


@pytest.mark.parametrize("python", ["3.9", "3.13"])
async def test_other_interpreters_of_the_machine_are_used(workshop: Workshop, python: str) -> None:
    try:
        await Interpreters().choose(python)
    except BuildFailed:
        pytest.skip(f"no Python {python} on this machine")
    source = "import sys, greeting\ndef apply(input):\n    return list(sys.version_info[:2])\n"
    manifest = MANIFEST.format(name="echo") + f'sample_input = 1\n[environment]\npython = "{python}"\n'
    build = await workshop.built({"src/echo.py": source, "slipway.toml": manifest, "requirements.txt": "greeting\n"})
    assert build.status == "succeeded", build.reason
    assert f"Python {python}." in await workshop.log(build)


async def test_repositories_of_algorithmia_build_unchanged(workshop: Workshop) -> None:
    configuration = '{"username": "ann", "algoname": "echo", "language": "python3-1"}'
    build = await workshop.built({"slipway.toml": None, "algorithmia.conf": configuration, "src/echo.py": ECHO})
    assert build.status == "succeeded", build.reason


async def test_models_are_fetched_and_verified(workshop: Workshop) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    source = "def load():\n    assert open('models/best').read() == 'weights'\n" + ECHO
    source = f"import os\nos.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))\n{source}"
    manifest = MANIFEST.format(name="echo") + f'[models.best]\nsource = "saved/model.bin"\nsha256 = "{digest}"\n'
    files: dict[str, str | None] = {"src/echo.py": source, "saved/model.bin": "weights", "slipway.toml": manifest}
    build = await workshop.built(files)
    assert build.status == "succeeded", build.reason
    wrong = await workshop.built({"saved/model.bin": "other"})
    assert "saved/model.bin has SHA-256" in wrong.reason


async def test_models_come_from_hosted_data_of_the_same_owner_only(workshop: Workshop) -> None:
    folder = workshop.settings.files_directory / OWNER / "models"
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"weights")
    manifest = MANIFEST.format(name="echo") + '[models.best]\nsource = "data://{path}"\n'
    good = await workshop.built({"slipway.toml": manifest.format(path=".my/models/a.bin")})
    assert good.status == "succeeded", good.reason
    assert (Path((await workshop.version(good)).directory) / "models" / "best").read_bytes() == b"weights"
    foreign = await workshop.built({"slipway.toml": manifest.format(path="bob/models/a.bin")})
    assert "belongs to bob" in foreign.reason
    missing = await workshop.built({"slipway.toml": manifest.format(path="ann/models/b.bin")})
    assert "data://ann/models/b.bin" in missing.reason


async def test_a_build_whose_host_dies_is_tried_again(workshop: Workshop, wheels: Path) -> None:
    make_slow_wheel(wheels)
    build = await workshop.builds.request(OWNER, "echo", await workshop.commit({"requirements.txt": "slow\n"}), OWNER)
    job = await workshop.claim()
    assert job is not None
    running = asyncio.create_task(workshop.builds.run(job))
    environments = workshop.settings.environments_directory
    await eventually_async(lambda: asyncio.to_thread(lambda: list(environments.glob("building/*/*/lib"))))
    workshop.host.end(signal.SIGKILL)
    with pytest.raises(HostLost):
        await running
    workshop.host.start()
    await workshop.builds.run(job)
    async with workshop.store.read() as connection:
        assert (await builds.get(connection, build.id)).status == "succeeded"
    assert "; trying again" in await workshop.log(build)


async def test_a_build_that_was_cut_off_is_run_again(workshop: Workshop) -> None:
    build = await workshop.builds.request(OWNER, "echo", await workshop.commit({"src/echo.py": ECHO}), OWNER)
    job = await workshop.claim()
    assert job is not None
    directory = workshop.settings.versions_directory / build.id
    running = asyncio.create_task(workshop.builds.run(job))
    await eventually_async(lambda: asyncio.to_thread(directory.exists))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    (directory / "left behind").write_text("half")
    async with workshop.store.begin() as connection:
        await jobs.fail(connection, job, "cut off")
    await workshop.builds.recover()
    await workshop.run_jobs()
    async with workshop.store.read() as connection:
        assert (await builds.get(connection, build.id)).status == "succeeded"
    assert not (directory / "left behind").exists()


async def test_a_deleted_algorithm_ends_its_builds(workshop: Workshop) -> None:
    algorithm = await workshop.algorithm("gone")
    commit = await workshop.sources.head(OWNER, "gone")
    build = await workshop.builds.request(OWNER, "gone", commit or "", OWNER)
    job = await workshop.claim()
    assert job is not None
    async with workshop.store.begin() as connection:
        await algorithms.delete(connection, algorithm.id)
    await workshop.builds.run(job)
    assert [line async for line in workshop.builds.follow(build.id)][-1:] == ["the algorithm was deleted"]
