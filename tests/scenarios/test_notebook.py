"""The notebook that a new user runs: from training to a live, audited endpoint."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nbclient
import nbformat
import pytest

from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.testing import Platform

EXAMPLE = Path(__file__).parents[2] / "examples" / "movie_review_sentiment"


def run_notebook(directory: Path, url: str, key: str) -> list[str]:
    """Execute the notebook in `directory`; what each code cell printed."""
    notebook = nbformat.read(directory / "train_and_deploy.ipynb", as_version=4)
    environment = {**os.environ, "SLIPWAY_API": url, "SLIPWAY_API_KEY": key}
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(directory)}}
    )
    client.execute(env=environment)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


@pytest.mark.filterwarnings("default")
def test_the_notebook_ends_with_a_live_audited_endpoint(tmp_path: Path) -> None:
    directory = tmp_path / "a folder with spaces"
    shutil.copytree(EXAMPLE, directory)
    with Platform(tmp_path / "data") as platform:
        key = platform.account("jpublic")
        printed = run_notebook(directory, platform.url, key)
        body = '"a warm , funny , engaging film ."'
        headers = {"Content-Type": "application/json"}
        live = platform.request(
            "POST", "/v1/algo/jpublic/movie_review_sentiment", key, content=body, headers=headers
        ).json()

    transcript = next(text for text in printed if "Algorithm namespace" in text)
    page = f"{platform.url}/algorithms/jpublic/movie_review_sentiment"
    assert transcript.splitlines() == [
        "Algorithm namespace: jpublic/movie_review_sentiment",
        f"Algorithm URL: {page}",
        "Pushing source code upstream, uploading model file & compiling algorithm...",
        f"Algorithm Source Code is available at: {page}/source",
        "Testing new compiled algorithm via API endpoint...",
        "Test complete!",
        "Publishing and deploying algorithm...",
        "Algorithm has been deployed!",
    ]
    assert live["result"]["sentiment"] == "positive"
    accuracy = float(next(text for text in printed if "held-out" in text).rsplit(" ", 1)[1])
    assert accuracy > 0.7
    calls = [entry.record for entry in read_all(platform.data / "journal") if isinstance(entry.record, CallRecord)]
    assert [(call.caller, call.version) for call in calls if call.algorithm.endswith("sentiment")][-1] == (
        "jpublic",
        "0.1.0",
    )
    assert any(call.algorithm.endswith("_from_a_cell") for call in calls)
