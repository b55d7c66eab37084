"""Setting up a clone, as far as it goes without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.architecture.modules import ROOT

FAKE = """#!/bin/sh
case "$*" in
    *ensurepip*) exit {ensurepip} ;;
    --version) echo "Python 3.12.1" ;;
    *%d.%d*) echo 3.12 ;;
    *version_info*) exit {old} ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    clone = tmp_path / "a clone"
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, clone / name)
    shutil.copy(ROOT / "pyproject.toml", clone)
    return clone


def setup(clone: Path, old: int, ensurepip: int) -> subprocess.CompletedProcess[str]:
    """Run it where every Python is such a one."""
    bin = clone.parent / "bin"
    bin.mkdir()
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        (bin / name).write_text(FAKE.format(old=old, ensurepip=ensurepip))
        (bin / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{bin}:/usr/bin:/bin", "PYTHON": ""}
    command = ["sh", str(clone / "scripts" / "setup")]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_the_apt_line_is_printed_where_python_has_no_venv(clone: Path) -> None:
    done = setup(clone, old=0, ensurepip=1)
    assert done.returncode == 1
    assert done.stderr == "This Python has no venv. On Debian or Ubuntu: apt-get install python3.12-venv\n"
    assert not (clone / ".venv").exists()


def test_the_apt_line_is_printed_where_python_is_too_old(clone: Path) -> None:
    done = setup(clone, old=1, ensurepip=0)
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr


def test_a_clone_that_is_set_up_is_left_as_it_is() -> None:
    if not list((ROOT / ".venv").glob("set-up-*")):
        pytest.skip("this clone was not set up with `make setup`")
    done = subprocess.run(["make", "-s", "setup"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
