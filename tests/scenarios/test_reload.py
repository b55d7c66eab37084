"""Settings change while calls go on; a mistake in them changes nothing."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway import live
from slipway.testing import Platform, free_port
from tests.architecture.modules import ROOT
from tests.conditions import eventually

ECHO = "def apply(input):\n    return input\n"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    (tmp_path / "data").mkdir()
    with Platform(tmp_path / "data") as platform:
        yield platform


def reload(platform: Platform, text: str) -> subprocess.CompletedProcess[str]:
    """Write that settings file and have it read."""
    (platform.data / "server.toml").write_text(text)
    command = [sys.executable, "-m", "slipway.cli.main", "reload", "--data", str(platform.data), "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def call(platform: Platform, key: str, **headers: str) -> httpx.Response:
    """A call with a long body."""
    every = {"Authorization": f"Simple {key}", "Content-Type": "application/json", **headers}
    return httpx.post(f"{platform.url}/v1/algo/ann/echo", content=json.dumps("x" * 1000), headers=every)


def test_limits_and_origins_change_without_a_restart(platform: Platform) -> None:
    key = platform.account("ann")
    platform.deploy("ann", "echo", key, ECHO)
    platform.publish("ann", "echo", key)
    before = platform.processes()
    assert call(platform, key).status_code == 200

    done = reload(platform, 'body_limit_bytes = 100\ncors_origins = ["https://a.example"]\nlog_level = "warning"\n')
    assert done.returncode == 0, done.stderr
    changed: dict[str, Any] = json.loads(done.stdout)
    assert changed["changed"] == ["body_limit_bytes", "cors_origins", "log_level"]
    assert changed["restart"] == []
    eventually(lambda: call(platform, key).status_code == 413)

    assert reload(platform, 'cors_origins = ["https://a.example"]\n').returncode == 0
    eventually(lambda: call(platform, key).status_code == 200)
    reply = call(platform, key, Origin="https://a.example")
    assert reply.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert platform.processes() == before


def test_a_restarted_process_knows_what_was_changed(platform: Platform) -> None:
    key = platform.account("ann")
    platform.deploy("ann", "echo", key, ECHO)
    platform.publish("ann", "echo", key)
    assert reload(platform, "body_limit_bytes = 100\n").returncode == 0
    (gateway,) = platform.processes()["gateway"]
    os.kill(gateway, signal.SIGKILL)
    eventually(lambda: platform.processes().get("gateway", [gateway]) != [gateway])

    def refused() -> bool:
        try:
            return call(platform, key).status_code == 413
        except httpx.TransportError:
            return False

    eventually(refused, 30.0)


def test_what_needs_a_restart_is_named_and_stays(platform: Platform) -> None:
    done = reload(platform, "gateways = 3\nkeep_days = 1.0\n")
    answer = json.loads(done.stdout)
    assert (answer["changed"], answer["restart"]) == (["keep_days"], ["gateways"])
    assert len(platform.processes()["gateway"]) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("body_limit_bytes = 100\nnonsense =\n", r"line 2"),
        ("body_limit_bytes = 100\nno_such_setting = 1\n", r"no_such_setting"),
        ('body_limit_bytes = "many"\n', r"body_limit_bytes"),
    ],
)
def test_a_file_with_a_mistake_changes_nothing_and_says_where(platform: Platform, text: str, words: str) -> None:
    done = reload(platform, text)
    assert done.returncode == 2
    assert re.search(words, done.stderr)
    assert str(platform.data / "server.toml") in done.stderr
    # The signal alone, without the command's own look at the file.
    os.kill(platform.pid, signal.SIGHUP)
    log = platform.data.parent / "data.log"
    eventually(lambda: "the settings stay as they are" in log.read_text())
    assert not (platform.data / "run" / "live.json").exists()


def test_reload_without_a_platform_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "slipway.cli.main", "reload", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "no platform runs" in done.stderr


def test_closing_its_terminal_ends_a_platform(tmp_path: Path) -> None:
    port = free_port()
    words = [sys.executable, "-m", "slipway.cli.main", "up", "--data", str(tmp_path / "data"), "--port", str(port)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(words[0], words)

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    eventually(ready, 60.0)
    os.kill(pid, signal.SIGHUP)  # with its terminal: read the settings again
    eventually((tmp_path / "data" / "run" / "reload.json").exists)
    assert ready()
    os.close(terminal)
    eventually(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, 60.0)


def test_the_documents_name_what_may_change() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    listed = page.partition("and the answer names them:")[2].split("\n\n")[1]
    assert set(re.findall(r"`(\w+)`", listed)) == live.LIVE
