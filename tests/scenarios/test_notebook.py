"""The example notebook, executed headless on real sentences, ends with a live and audited endpoint."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from slipway.testing import Platform
from tests.architecture.modules import ROOT

EXAMPLE = ROOT / "examples" / "movie_review_sentiment"
WHEELS = ROOT / ".cache" / "wheels"
LINES = [
    "Algorithm namespace: jpublic/movie_review_sentiment",
    "Algorithm URL: {api}/v1/algorithms/jpublic/movie_review_sentiment",
    "Pushing source code upstream, uploading model file & compiling algorithm...",
    "Algorithm Source Code is available at: {api}/v1/algorithms/jpublic/movie_review_sentiment/source",
    "Testing new compiled algorithm via API endpoint...",
    "Test complete!",
    "Publishing and deploying algorithm...",
    "Algorithm has been deployed!",
]
SECONDS = 900


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    settings = {"find_links": WHEELS} if any(WHEELS.glob("complete-*")) else {}
    with Platform(tmp_path / "data", **settings) as platform:
        yield platform


def execute(directory: Path, platform: Platform, key: str) -> list[str]:
    """Run the notebook in a copy of the example; what each of its cells printed."""
    notebook: Any = nbformat.read(directory / "train_and_deploy.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    own = {"SLIPWAY_API": platform.url, "SLIPWAY_API_KEY": key, "IPYTHONDIR": str(directory / "ipython")}
    if any(WHEELS.glob("complete-*")):
        own["PIP_FIND_LINKS"] = str(WHEELS)
    client = NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(directory)}})
    client.execute(env={**os.environ, **own})
    return ["".join(output.get("text", "") for output in cell.get("outputs", [])) for cell in notebook.cells]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    copy = tmp_path / "an example"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("*.joblib"))
    return copy


@pytest.mark.filterwarnings("default")
def test_the_notebook_ends_with_a_live_audited_endpoint(platform: Platform, example: Path) -> None:
    key = platform.account("jpublic")
    printed = execute(example, platform, key)
    deployment = next(text for text in printed if "Algorithm namespace: jpublic/movie_review_sentiment\n" in text)
    assert deployment.splitlines() == [line.format(api=platform.url) for line in LINES]
    accuracy = re.search(r"held-out sentences: (0\.\d+)", "".join(printed))
    assert accuracy is not None
    assert float(accuracy[1]) > 0.75

    reply = platform.request(
        "POST",
        "/v1/algo/jpublic/movie_review_sentiment",
        key,
        content="Dull, lifeless, and amateurishly assembled.",
        headers={"Content-Type": "text/plain"},
    ).json()
    assert reply["result"]["sentiment"] == "negative"
    algorithm = "jpublic/movie_review_sentiment"
    versions = platform.request("GET", f"/v1/algorithms/{algorithm}/versions", key).json()["results"]
    assert [version["version_info"]["semantic_version"] for version in versions] == ["0.1.0"]
    from_cell = platform.request("POST", f"/v1/algo/{algorithm}_from_cell", key, json=["lovely", "dreadful"])
    assert from_cell.json()["result"] == [True, False]

    sentence = r"\d\d:\d\d:\d\d - jpublic called movie_review_sentiment with result .*negative.*"
    assert re.search(sentence, audit(platform))
    records = [json.loads(line) for line in audit(platform, "--json").splitlines()]
    assert [record["call_id"] for record in records].count(reply["request_id"]) == 1


def audit(platform: Platform, *words: str) -> str:
    """What `slipway audit` prints of the user's calls."""
    command = [sys.executable, "-m", "slipway.cli.main", "audit", "--data", str(platform.data)]
    command += ["--algorithm", "movie_review_sentiment", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
