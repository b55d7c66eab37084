"""Clearing away and being supervised, with the platform running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.testing import Platform
from tests.conditions import eventually


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with Platform(tmp_path / "data") as platform:
        yield platform


def slipway(*words: str, **settings: str) -> str:
    """What a command prints; it must succeed."""
    command = [sys.executable, "-m", "slipway.cli.main", *words]
    environment = {**os.environ, **{f"SLIPWAY_{name.upper()}": value for name, value in settings.items()}}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def echo(platform: Platform, key: str, version: str = "") -> Any:
    """A call's result."""
    return platform.request("POST", f"/v1/algo/ann/echo{version and '/' + version}", key, json=1).json()["result"]


def stop_replicas(platform: Platform) -> None:
    """As if they had been idle for long."""

    def running() -> list[int]:
        return [replica["pid"] for replica in platform.request("GET", "/v1/status").json()["replicas"]]

    for pid in running():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not running())


def test_a_version_that_is_called_survives_clearing_and_an_idle_one_goes(platform: Platform) -> None:
    key = platform.account("ann")
    platform.deploy("ann", "echo", key, "def apply(input):\n    return input\n")
    platform.publish("ann", "echo", key)
    source = "def apply(input):\n    return [input, {}]\n"
    idle, _ = platform.push("ann", "echo", key, {"src/echo.py": source.format(1)})
    stop_replicas(platform)  # the build's check has left one
    called, _ = platform.push("ann", "echo", key, {"src/echo.py": source.format(2)})
    assert echo(platform, key, called) == [1, 2]

    options = ("gc", "--data", str(platform.data), "--json")
    cleared = json.loads(slipway(*options, keep_versions="0", keep_days="0"))
    assert [one["name"] for one in cleared["items"] if one["kind"] == "version"] == [f"ann/echo {idle}"]
    assert echo(platform, key, called) == [1, 2]
    assert echo(platform, key) == 1
    with pytest.raises(RuntimeError, match="404"):
        echo(platform, key, idle)
    events = slipway("audit", "--data", str(platform.data))
    assert "gc" in events
    slipway("audit", "verify", "--data", str(platform.data))


def test_systemd_is_told_when_the_platform_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.bind(str(tmp_path / "notify"))
        service.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with Platform(tmp_path / "data"):
            assert service.recv(100) == b"READY=1"
        assert service.recv(100) == b"STOPPING=1"
