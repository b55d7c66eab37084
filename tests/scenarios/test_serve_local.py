"""A repository answers on a machine without a platform, as it would on one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from slipway.testing import descendants, free_port
from tests.conditions import eventually

SOURCE = """
def apply(input):
    print("got", input)
    if input == "no":
        raise ValueError("not this")
    return input
"""


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "slipway.cli.main", "serve", *words]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory of a short path, as sockets want it."""
    with tempfile.TemporaryDirectory(prefix="s-") as directory:
        yield Path(directory)


@pytest.fixture
def environment(tmp_path: Path, scratch: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    return {**kept, "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(scratch)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_directory_answers_until_ctrl_c_and_leaves_nothing(
    tmp_path: Path, scratch: Path, environment: dict[str, str], number: signal.Signals
) -> None:
    project = tmp_path / "my project"
    project.mkdir()
    (project / "echo.py").write_text(SOURCE)
    output = tmp_path / "output"
    port = free_port()
    with output.open("wb") as out:
        words = command("--local", str(project), "-a", "ann/echo", "--port", str(port))
        process = subprocess.Popen(words, env=environment, stdout=out, stderr=out)
    try:
        said = eventually(lambda: re.search(r"Simple (\w+)' .* (http\S+)\n", output.read_text()), timeout=90)
        assert said is not None
        assert said[2] == f"http://127.0.0.1:{port}/v1/algo/ann/echo"
        headers = {"Authorization": f"Simple {said[1]}"}
        assert httpx.post(said[2], json={"a": 1}, headers=headers).json()["result"] == {"a": 1}
        error = httpx.post(said[2], json="no", headers=headers).json()["error"]
        assert error["message"] == "ValueError: not this"
        assert eventually(lambda: "got {'a': 1}" in output.read_text())
        taken = subprocess.run(
            command("--local", str(project), "--port", str(port)),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert taken.returncode == 2
        assert "choose another `--port`" in taken.stderr
        below = descendants(process.pid)
        assert below
    finally:
        process.send_signal(number)
        status = process.wait(60)
    assert status == 130
    assert "Traceback" not in output.read_text().replace('Traceback (most recent call last):\n  File "src/', "")
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    assert list(scratch.iterdir()) == []


def test_what_cannot_be_served_is_told_before_anything_starts(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "no.py").write_text("x = 1\n")
    for words, expected in (
        (["--local", "no.py"], "has no `def apply"),
        (["no.py"], "--local"),
        (["--local", "nothing"], "does not exist"),
    ):
        done = subprocess.run(
            command(*words), env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode in (1, 2)
        assert expected in done.stderr
