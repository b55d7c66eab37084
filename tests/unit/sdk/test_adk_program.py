"""An ADK repository run as a program, outside any platform: `python src/NAME.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import BuildFailed
from slipway.release.interpreters import Interpreters
from slipway.sdk.adk_program import FIFO
from slipway.workers.runtimes.install import install_runtimes

SOURCE = """
from adk import ADK

class Refused(Exception):
    error_type = "InputError"

def load():
    if {broken}:
        raise ValueError("no model")
    return {{"greeting": "hello"}}

def apply(input, globals):
    if input == "bad":
        raise Refused("not that")
    if input == "bytes" or isinstance(input, bytes):
        return b"\\x00" + (input if isinstance(input, bytes) else b"")
    return globals["greeting"] + " " + input if input != "json" else globals

ADK(apply, load).init({payload})
"""


@pytest.fixture(autouse=True)
def _nobody_waits() -> None:
    if Path(FIFO).exists():
        pytest.skip(f"{FIFO} is there: programs answer on it")


def run(
    directory: Path, payload: object, stdin: str = "", broken: bool = False, python: str = sys.executable
) -> list[str]:
    """What the program prints."""
    program = directory / "program.py"
    program.write_text(SOURCE.format(payload=repr(payload), broken=broken))
    environment = {"PYTHONPATH": str(install_runtimes(directory / "runtimes")), "PYTHONUTF8": "1"}
    command = [python, str(program)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, timeout=60)
    assert not done.stderr
    return done.stdout.splitlines()


def test_it_prints_the_answer_to_its_local_payload(tmp_path: Path) -> None:
    assert run(tmp_path, "world") == [
        "loading complete",
        '{"result": "hello world", "metadata": {"content_type": "text"}}',
    ]


@pytest.mark.parametrize(
    ("payload", "result", "kind"), [("json", {"greeting": "hello"}, "json"), ("bytes", "AA==", "binary")]
)
def test_results_carry_their_content_type(tmp_path: Path, payload: str, result: object, kind: str) -> None:
    assert json.loads(run(tmp_path, payload)[1]) == {"result": result, "metadata": {"content_type": kind}}


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.13"])
async def test_errors_carry_type_message_and_the_authors_frames(tmp_path: Path, version: str) -> None:
    """On all Pythons; the published ADK fails at this since 3.10."""
    try:
        interpreter = await Interpreters().choose(version)
    except BuildFailed:
        pytest.skip(f"no Python {version} on this machine")
    error: dict[str, Any] = json.loads(run(tmp_path, "bad", python=interpreter.path)[1])["error"]
    assert (error["error_type"], error["message"]) == ("InputError", "not that")
    assert error["stacktrace"].count("File ") == 1
    assert "program.py" in error["stacktrace"]


def test_what_cannot_load_says_so(tmp_path: Path) -> None:
    printed = run(tmp_path, "world", broken=True)
    assert len(printed) == 2
    error = json.loads(printed[1])["error"]
    assert (error["error_type"], error["message"]) == ("LoadingError", "no model")


def test_without_a_payload_it_answers_line_by_line(tmp_path: Path) -> None:
    lines = [
        {"content_type": "text", "data": "you"},
        {"content_type": "binary", "data": "AQ=="},
        {"content_type": "soup", "data": ""},
    ]
    _, *answers = run(tmp_path, None, "".join(json.dumps(line) + "\n" for line in lines))
    first, second, third = map(json.loads, answers)
    assert first["result"] == "hello you"
    assert second == {"result": "AAE=", "metadata": {"content_type": "binary"}}
    assert third["error"]["message"] == "Invalid content_type: soup"
