"""Starting, ending and refusing to start: nothing is left behind, nothing damaged."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from slipway.testing import Platform, descendants, free_port
from tests.conditions import eventually

SLOW = """
import time
from pathlib import Path

def apply(input):
    if input:
        Path(input).touch()
        time.sleep(2)
    return "slept"
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    # An algorithm tells by a file of the test that it has begun: hence no sandboxes here.
    with Platform(tmp_path / "data", sandbox="none") as platform:
        yield platform


def up(data: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`slipway up` that is expected to end by itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    command = [sys.executable, "-m", "slipway.cli.main", "up", "--data", str(data), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={**kept, **environment})


def is_refused(done: subprocess.CompletedProcess[str], words: str) -> bool:
    """One line on standard error that says those words, and exit code 2."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return words in done.stderr


def alive(pids: list[int]) -> list[int]:
    """Those that still run."""
    return [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and _state(pid) != "Z"]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_the_first_start_tells_the_admins_key_once(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data")
    with platform:
        eventually(lambda: f"listening on {platform.url}" in (tmp_path / "data.log").read_text())
        assert platform.admin_key in (tmp_path / "data.log").read_text()
        assert (platform.data / "admin.key").stat().st_mode & 0o777 == 0o600
    with platform:
        eventually(lambda: (tmp_path / "data.log").read_text().count("listening on") == 2)
        assert (tmp_path / "data.log").read_text().count(platform.admin_key) == 1


def test_the_admins_key_can_be_set(tmp_path: Path) -> None:
    key = "simAAAAAAAAAAAAAAAAAAAAAAAAA"
    with Platform(tmp_path / "data", admin_key=key) as platform:
        assert platform.request("GET", "/v1/whoami", key).json()["username"] == "admin"


def test_sigterm_finishes_the_calls_in_flight_and_leaves_no_process(platform: Platform) -> None:
    key = platform.account("ann")
    platform.deploy("ann", "slow", key, SLOW)
    platform.publish("ann", "slow", key)
    platform.request("POST", "/v1/algo/ann/slow", key, json="")
    begun = platform.data / "runtimes" / "begun"
    replies: list[str] = []

    def call() -> None:
        replies.append(platform.request("POST", "/v1/algo/ann/slow", key, json=str(begun)).json()["result"])

    caller = threading.Thread(target=call)
    caller.start()
    eventually(begun.exists)
    everybody = descendants(platform.pid)
    assert platform.stop() == 0
    caller.join(10)
    assert replies == ["slept"]
    assert alive(everybody) == []


def test_sigkill_of_the_supervisor_leaves_no_process_and_the_next_start_works(platform: Platform) -> None:
    key = platform.account("ann")
    platform.deploy("ann", "echo", key, "def apply(input):\n    return input\n")
    platform.request("POST", "/v1/algo/ann/echo/" + _commit(platform, key), key, json=1)
    everybody = descendants(platform.pid)
    assert len(everybody) >= 5
    platform.stop(signal.SIGKILL)
    eventually(lambda: not alive(everybody))
    platform.start()
    assert platform.request("POST", "/v1/algo/ann/echo/" + _commit(platform, key), key, json=2).json()["result"] == 2


def _commit(platform: Platform, key: str) -> str:
    versions = platform.request("GET", "/v1/algorithms/ann/echo/versions", key).json()["results"]
    return str(versions[0]["version_info"]["git_hash"])


@pytest.mark.parametrize("name", ["control", "host", "gateway", "observer"])
def test_what_dies_is_restarted_and_the_operator_told(platform: Platform, tmp_path: Path, name: str) -> None:
    [before] = platform.processes()[name]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: platform.processes().get(name, [before]) != [before])
    eventually(lambda: "was killed by signal 9; it is started again now" in (tmp_path / "data.log").read_text())
    eventually(lambda: httpx.get(f"{platform.url}/health/ready").status_code == 200)


def test_down_returns_when_the_platform_is_gone(platform: Platform) -> None:
    everybody = descendants(platform.pid)
    command = [sys.executable, "-m", "slipway.cli.main", "down", "--data", str(platform.data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"stopped {platform.url}\n"
    assert alive(everybody) == []


def test_up_can_go_into_the_background(tmp_path: Path) -> None:
    done = up(tmp_path / "data", "--port", "0", "--detach")
    try:
        assert done.returncode == 0, done.stderr
        url = done.stdout.rpartition("listening on ")[2].strip()
        assert httpx.get(f"{url}/health/ready").status_code == 200
    finally:
        command = [sys.executable, "-m", "slipway.cli.main", "down", "--data", str(tmp_path / "data")]
        subprocess.run(command, capture_output=True, timeout=60, check=True)


def test_a_port_in_use_is_refused(platform: Platform, tmp_path: Path) -> None:
    assert is_refused(up(tmp_path / "other", "--port", str(platform.port)), "Address already in use")


def test_a_data_directory_in_use_is_refused(platform: Platform) -> None:
    assert is_refused(up(platform.data, "--port", str(free_port())), "another platform runs")
    assert platform.request("GET", "/health/ready").text == "ready\n"


def test_a_store_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    with Platform(tmp_path / "data") as platform:
        store = platform.data / "store.db"
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_later'")
    connection.close()
    before = store.read_bytes()
    assert is_refused(up(platform.data, "--port", str(free_port())), "newer")
    assert store.read_bytes() == before


def test_a_journal_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    with Platform(tmp_path / "data") as platform:
        segment = next((platform.data / "journal" / "control").glob("*.journal"), None)
        segment = segment or sorted((platform.data / "journal" / "control").iterdir())[0]
    content = bytearray(segment.read_bytes())
    shutil.copy(segment, tmp_path / "kept")
    version = _version_offset(bytes(content))
    content[version] = 99
    segment.write_bytes(content)
    assert is_refused(up(platform.data, "--port", str(free_port())), "newer")
    assert segment.read_bytes() == bytes(content)


def _version_offset(content: bytes) -> int:
    """Where the format's number stands in a segment: right behind its magic word."""
    from slipway.journal.format import MAGIC

    assert content.startswith(MAGIC)
    return len(MAGIC)


def test_settings_that_are_wrong_are_refused(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("prot = 1\n")
    assert is_refused(up(tmp_path), "server.toml")
    assert is_refused(up(tmp_path / "other", SLIPWAY_GATEWAYS="many"), "gateways")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert is_refused(up(tmp_path / "closed" / "data"), "Permission denied")


def test_a_place_that_is_no_directory_is_refused() -> None:
    assert is_refused(up(Path("/proc/slipway")), "cannot be written")


def test_a_full_disk_is_refused(tmp_path: Path) -> None:
    if not Path("/dev/full").exists() or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root, to mount a small disk")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount")
    try:
        assert is_refused(up(place / "data", "--port", str(free_port())), "No space left on device")
    finally:
        subprocess.run(["umount", str(place)], check=True)
