"""How processes are watched and restarted, and who occupies a data directory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.errors import DataDirectoryInUse, DataDirectoryUnusable, PortTaken
from slipway.premises import forget_occupant, listen, lock, make_directories, note_occupant, occupant
from slipway.processes import LOG_BYTES, Child, children_of, kill, restart_pause, start_ticks
from slipway.settings import Settings


def test_the_first_restart_comes_at_once_and_later_ones_double_up_to_a_limit() -> None:
    assert [restart_pause(failures) for failures in range(5)] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert restart_pause(1000) == 10.0


def test_a_process_is_told_from_a_later_one_with_its_id() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert start_ticks(process.pid)
        assert process.pid in children_of(os.getpid())
        kill(process.pid)
    assert start_ticks(process.pid) is None


def test_a_log_is_cut_when_it_grows_too_long_and_one_older_is_kept(tmp_path: Path) -> None:
    child = Child("one", ["true"], {}, (), tmp_path / "one.log")
    child.log.write_bytes(b"x" * (LOG_BYTES + 1))
    child.rotate_log()
    assert child.log.stat().st_size == 0
    assert (tmp_path / "one.log.1").stat().st_size == LOG_BYTES + 1


def test_the_last_line_of_a_log_is_found(tmp_path: Path) -> None:
    child = Child("one", ["true"], {}, (), tmp_path / "one.log")
    assert child.last_line() == ""
    child.log.write_text("first\n" * 5000 + "last\n")
    assert child.last_line() == "last"


def test_a_data_directory_has_one_platform_at_a_time(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    make_directories(settings)
    held = lock(settings)
    note_occupant(settings, "http://here", "1")
    found = occupant(settings)
    assert found is not None
    assert (found.pid, found.url) == (os.getpid(), "http://here")
    with pytest.raises(DataDirectoryInUse, match="slipway down"):
        lock(settings)
    forget_occupant(settings)
    os.close(held)
    assert occupant(settings) is None
    os.close(lock(settings))


def test_the_run_directory_is_the_owners_alone(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    make_directories(settings)
    assert settings.run_directory.stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_way_of_the_data_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryUnusable, match="cannot be written"):
        make_directories(Settings(data=str(tmp_path / "file")))


def test_a_path_too_long_for_sockets_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryUnusable, match="too long"):
        make_directories(Settings(data=str(tmp_path / ("x" * 100))))


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            listen("127.0.0.1", port)


def test_a_port_that_is_none_is_told() -> None:
    with pytest.raises(PortTaken):
        listen("127.0.0.1", 70000)


def test_ipv6_is_an_address_too() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        listener = listen("::1", 0)
    except PortTaken:
        pytest.skip("this machine has no IPv6 loopback")
    assert listener.family is socket.AF_INET6
    listener.close()
