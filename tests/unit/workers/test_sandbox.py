from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.workers.sandbox.launching import kill_group, kill_tree, launch, worker_environment
from tests.conditions import eventually


def output_of(command: list[str], tmp_path: Path, **environment: str) -> str:
    """What a launched command prints."""
    reading, writing = os.pipe()
    process = launch(command, directory=tmp_path, environment=environment, descriptors={1: writing})
    os.close(writing)
    with os.fdopen(reading) as output:
        text = output.read()
    process.wait(10)
    return text


def test_a_child_has_its_descriptors_and_no_other(tmp_path: Path) -> None:
    leak, other = os.pipe()
    os.set_inheritable(leak, True)
    said = output_of(["/bin/sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; pwd"], tmp_path)
    os.close(leak)
    os.close(other)

    # The last one is the listing's own.
    assert said == f"0 1 2 3 {tmp_path}\n"


def test_descriptors_may_cross_each_other(tmp_path: Path) -> None:
    first, second = os.memfd_create("first"), os.memfd_create("second")
    program = "import os; os.write(" + str(first) + ", b'to second'); os.write(" + str(second) + ", b'to first')"
    process = launch(
        [sys.executable, "-c", program],
        directory=tmp_path,
        environment={},
        descriptors={first: second, second: first},
    )
    assert process.wait(20) == 0

    assert os.pread(first, 100, 0) == b"to first"
    assert os.pread(second, 100, 0) == b"to second"
    os.close(first)
    os.close(second)


def test_nothing_of_the_platforms_environment_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_ADMIN_KEY", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    environment = worker_environment(tmp_path)

    assert "secret" not in environment.values()
    assert environment["OMP_NUM_THREADS"] == "1"
    assert "GREETING=hello" in output_of(["/usr/bin/env"], tmp_path, GREETING="hello")


def test_a_program_that_is_missing_is_an_error_here(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        launch(["/no/such/program"], directory=tmp_path, environment={}, descriptors={})


def test_the_whole_group_is_killed(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    command = ["/bin/sh", "-c", "sleep 100 & echo $!; wait"]
    process = launch(command, directory=tmp_path, environment=dict(os.environ), descriptors={1: writing})
    os.close(writing)
    with os.fdopen(reading) as output:
        child = int(output.readline())
        kill_tree(process.pid)
        assert output.read() == ""
    assert process.wait(10) == -signal.SIGKILL

    eventually(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())
    kill_group(process.pid)


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    program = """
import os, pathlib, sys
from slipway.workers.sandbox.launching import launch
child = launch(["sleep", "100"], directory=pathlib.Path("/"), environment=dict(os.environ), descriptors={})
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    pid = int(done.stdout)

    eventually(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())
