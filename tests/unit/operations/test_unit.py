"""The systemd unit is one that systemd takes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.operations.unit import unit
from slipway.settings import Settings


@pytest.mark.parametrize("user", [False, True])
def test_the_unit_starts_this_python_on_the_data_directory(tmp_path: Path, user: bool) -> None:
    text = unit(Settings(data=str(tmp_path / "the data"), drain_seconds=7.0), user=user)
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    assert f'ExecStart={python} -m slipway.cli.main up --data "{tmp_path / "the data"}"\n' in text
    assert "TimeoutStopSec=37\n" in text
    assert ("ProtectSystem=full" in text) is not user


def test_what_systemd_would_expand_is_taken_literally(tmp_path: Path) -> None:
    assert "--data /a%%b$$c\n" in unit(Settings(data="/a%b$c"), user=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    file = tmp_path / "slipway.service"
    file.write_text(unit(Settings(data=str(tmp_path / "data")), user=False))
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "slipway.service" in line] == []
