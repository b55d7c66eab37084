"""A wheel of this clone, in an environment of its own, runs a platform elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.testing import free_port
from tests.architecture.modules import ROOT

SECONDS = 300


def run(*command: str | Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a command outside the clone, without anything that would lead back to it."""
    left_out = ("PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    environment = {name: value for name, value in kept.items() if name not in left_out}
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=directory, capture_output=True, text=True, env=environment, timeout=SECONDS, check=False
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel with the extra `server`, and nothing of the clone."""
    place = tmp_path_factory.mktemp("wheel")
    uv = [sys.executable, "-m", "uv"]
    built = run(*uv, "build", "--quiet", "--wheel", "--out-dir", place / "dist", ROOT, directory=place)
    if built.returncode:
        pytest.skip(f"no wheel can be built here: {built.stderr[-500:]}")
    [wheel] = (place / "dist").glob("slipway-*.whl")
    run(*uv, "venv", "--quiet", place / "environment", "--python", sys.executable, directory=place)
    python = place / "environment" / "bin" / "python"
    done = run(*uv, "pip", "install", "--quiet", "--python", python, f"{wheel}[server]", directory=place)
    if done.returncode:
        pytest.skip(f"the dependencies cannot be had here: {done.stderr[-500:]}")
    return place


def test_up_status_and_down_work_outside_the_clone(installed: Path, tmp_path: Path) -> None:
    slipway = installed / "environment" / "bin" / "slipway"
    data = tmp_path / "data"
    done = run(slipway, "up", "--data", data, "--port", str(free_port()), "--detach", directory=tmp_path)
    assert done.returncode == 0, done.stderr
    try:
        status = run(slipway, "status", "--data", data, directory=tmp_path)
        assert status.returncode == 0, status.stdout + status.stderr
        assert "journal healthy" in status.stdout
    finally:
        assert run(slipway, "down", "--data", data, directory=tmp_path).returncode == 0


def test_the_wheel_holds_the_package_and_nothing_of_the_tests(installed: Path) -> None:
    python = installed / "environment" / "bin" / "python"
    program = "import slipway, slipway.deploy, slipway.sdk, pathlib; print(slipway.__file__)"
    done = run(python, "-c", program, directory=installed)
    assert Path(done.stdout.strip()).is_relative_to(installed), done.stderr
    assert run(python, "-c", "import tests", directory=installed).returncode != 0
