"""The process itself: its sockets, its feed, its beginning and its end."""

from __future__ import annotations

import contextlib
import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway.registry.keys import generate_key
from tests.conditions import eventually
from tests.contract.control.processes import Control, listens, message, running_control


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory below a path with spaces, which does not exist yet."""
    return tmp_path / "a path" / "data"


@pytest.fixture
def started(data: Path) -> Iterator[Control]:
    """A control of the test's own."""
    data.parent.mkdir()
    with running_control(data) as control:
        yield control


def test_both_sockets_and_the_key_are_their_owners_only(started: Control) -> None:
    settings = started.settings
    for path in (settings.control_socket, settings.internal_socket, settings.admin_key_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_it_lives_and_is_ready(started: Control) -> None:
    with started.client() as client:
        assert client.get("/health/live").text == "live\n"
        assert client.get("/health/ready").text == "ready\n"
        assert client.get("/v1/openapi.json").json()["info"]["title"] == "Slipway"


def test_the_internal_routes_are_not_on_the_public_socket(started: Control) -> None:
    with started.admin() as client:
        for path in ("/feed", "/pushes", "/docs", "/redoc", "/v1/nothing", "/"):
            message(client.get(path), 404)
        message(client.delete("/v1/whoami"), 405)


def lines(reply: httpx.Response) -> Iterator[dict[str, Any]]:
    """A feed's snapshots."""
    return (json.loads(line) for line in reply.iter_lines())


def test_the_feed_begins_with_everything_and_goes_on_with_each_change(started: Control) -> None:
    with started.admin() as admin, started.internal() as internal, internal.stream("GET", "/feed") as reply:
        feed = lines(reply)
        first = next(feed)
        assert first["full"] is True
        assert [account["name"] for account in first["accounts"]] == ["admin"]
        admin.post("/v1/users", json={"username": "ann"}).raise_for_status()
        change = next(line for line in feed if line.get("accounts"))
        assert [account["name"] for account in change["accounts"]] == ["ann"]
        assert change["revision"] > first["revision"]
        began = time.monotonic()
        assert next(feed)["revision"] == change["revision"]
        assert time.monotonic() - began < 3


def test_a_change_is_answered_once_the_feed_knows_of_it(started: Control) -> None:
    with started.admin() as admin, started.internal() as internal, internal.stream("GET", "/feed") as reply:
        feed = lines(reply)
        known = next(feed)["revision"]
        for number in range(5):
            made = admin.post("/v1/users/admin/keys", json={"label": str(number)}).json()
            change = next(line for line in feed if line["revision"] > known)
            known = change["revision"]
            assert [key["id"] for key in change["keys"]] == [made["id"]]


def test_sigterm_ends_it_within_two_seconds_whoever_reads_along(started: Control) -> None:
    with started.admin() as admin, started.internal() as internal:
        with internal.stream("GET", "/feed") as feed, admin.stream("GET", "/v1/audit?follow=true") as audit:
            next(feed.iter_lines())
            next(audit.iter_lines())
            began = time.monotonic()
            assert started.end() == 0
            assert time.monotonic() - began < 2
    assert "Traceback" not in started.log.read_text()
    assert "exceeded" not in started.log.read_text()


def test_after_kill_9_it_serves_again_what_it_had(started: Control) -> None:
    with started.account("ann") as ann:
        ann.post("/v1/algorithms/ann", json={"name": "echo"}).raise_for_status()
        started.end(signal.SIGKILL)
        assert started.settings.control_socket.exists()  # stale: nobody listens there
        assert not listens(started.settings.control_socket)
        started.start()
        assert ann.get("/v1/algorithms/ann/echo").status_code == 200
    assert started.events(verb="algorithm.create", resource="ann/echo")


def test_an_algorithm_whose_repository_a_crash_prevented_gets_it_at_the_next_start(started: Control) -> None:
    with started.account("ann") as ann:
        ann.post("/v1/algorithms/ann", json={"name": "echo"}).raise_for_status()
        started.end()
        directory = started.settings.git_directory / "ann" / "echo.git"
        directory.rename(directory.with_suffix(".lost"))
        started.start()
        eventually(lambda: ann.get("/v1/algorithms/ann/echo/source").status_code == 200)


def test_the_key_that_the_settings_name_is_the_administrators(data: Path) -> None:
    data.parent.mkdir()
    key = generate_key()
    with running_control(data, admin_key=key) as control:
        assert control.admin_key == key
        with control.admin() as admin:
            (kept,) = admin.get("/v1/users/admin/keys").json()["results"]
            other = admin.post("/v1/users/admin/keys").json()["key"]
            admin.delete(f"/v1/users/admin/keys/{kept['id']}").raise_for_status()
        control.end()
        control.start()  # the setting is still there; what was revoked stays so
        with control.client(key) as revoked, control.client(other) as good:
            message(revoked.get("/v1/whoami"), 401)
            assert good.get("/v1/whoami").json()["admin"] is True


def test_a_key_in_the_settings_that_is_none_keeps_it_from_starting(data: Path) -> None:
    data.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.contract.control.control_process", str(data), "admin_key=letmein"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "SettingsError: SLIPWAY_ADMIN_KEY is no key" in done.stderr
    assert not (data / "admin.key").exists()


def test_bodies_that_are_held_in_memory_are_bounded(started: Control) -> None:
    large = b'{"username": "' + b"x" * 2_000_000 + b'"}'

    def chunks() -> Iterator[bytes]:
        yield from (large[start : start + 65_536] for start in range(0, len(large), 65_536))

    headers = {"Content-Type": "application/json"}
    with started.admin() as admin:
        for content in (large, chunks()):
            assert "larger" in message(admin.post("/v1/users", content=content, headers=headers), 413)
        assert "larger" in message(admin.post("/v1/data/.my", content=large), 413)


def test_what_nobody_foresaw_is_a_500_that_shows_nothing_and_is_logged(started: Control) -> None:
    # A file where the directory of hosted data should be: no part of the code expects that.
    directory = started.settings.files_directory
    with started.admin() as admin:
        admin.post("/v1/data/.my", json={"name": "files"}).raise_for_status()
        (directory / "admin" / "files" / "loop").symlink_to("loop")
        reply = admin.get("/v1/data/.my/files/loop")
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, 5000)
    assert "Traceback" not in reply.text
    assert reply.json()["error"]["id"] in started.log.read_text()


@pytest.fixture
def small_journal(data: Path) -> Iterator[Path]:
    """A journal on a file system of 2 MiB, where this user may mount one."""
    directory = data / "journal"
    directory.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", directory], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True)


def test_a_full_disk_refuses_changes_before_they_are_made_says_so_and_recovers(data: Path, small_journal: Path) -> None:
    with running_control(data, journal_segment_bytes=65_536) as control, control.admin() as admin:
        filler = small_journal / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        # What was laid out ahead takes some more.
        eventually(lambda: admin.get("/v1/audit", params={"since": time.time()}).status_code == 503, 60)
        for reply in (
            admin.post("/v1/users", json={"username": "late"}),
            admin.post("/v1/data/.my", json={"name": "late"}),
        ):
            assert "full" in message(reply, 503)
            assert reply.headers["retry-after"] == "5"
        assert admin.get("/v1/status").json()["journal"] == "cannot be written"
        assert admin.get("/health/ready").status_code == 503
        assert admin.get("/v1/data/.my").json()["folders"] == []
        filler.unlink()
        eventually(lambda: admin.get("/health/ready").status_code == 200)
        assert admin.post("/v1/users", json={"username": "late"}).status_code == 201
