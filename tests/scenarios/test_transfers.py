"""Hosted data moves between client and control alone: the gateway has passed the connection on."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from slipway.testing import Platform
from tests.conditions import eventually

CONTENT = bytes(range(256)) * 20_000  # 5 MB
FILE = "/v1/data/ann/files/numbers"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("platform") / "data", cors_origins="https://lab.example") as platform:
        yield platform


@pytest.fixture(scope="module")
def key(platform: Platform) -> str:
    key = platform.account("ann")
    platform.request("POST", "/v1/data/ann", key, json={"name": "files"})
    return key


def begun_upload(platform: Platform, key: str, first: bytes) -> socket.socket:
    """A connection on which an upload of CONTENT has begun."""
    connection = socket.create_connection(("127.0.0.1", platform.port), timeout=30)
    head = f"PUT {FILE} HTTP/1.1\r\nHost: x\r\nAuthorization: Simple {key}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
    connection.sendall(head.encode() + first)
    return connection


def uploading(platform: Platform) -> bool:
    """Whether control has begun to receive a file."""
    return any((platform.data / "files" / ".uploads").iterdir())


def reply(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def test_a_file_goes_up_and_down_unchanged(platform: Platform, key: str) -> None:
    written = platform.request("PUT", FILE, key, content=CONTENT).json()
    assert written["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    read = platform.request("GET", FILE, key)
    assert read.content == CONTENT
    assert read.headers["connection"] == "close"
    assert read.headers["date"]


def test_a_client_that_keeps_connections_may_mix_transfers_with_calls_and_management(
    platform: Platform, key: str
) -> None:
    with httpx.Client(base_url=platform.url, headers={"Authorization": f"Simple {key}"}) as client:
        for _ in range(3):
            assert client.put(FILE, content=b"short").json()["size"] == 5
            assert client.get("/v1/users/ann").json()["username"] == "ann"
            assert client.get(FILE).content == b"short"
            assert client.post("/v1/algo/ann/nothing", content=b"1").status_code == 404


def test_an_upload_of_unknown_length_arrives(platform: Platform, key: str) -> None:
    pieces = (CONTENT[start : start + 100_000] for start in range(0, len(CONTENT), 100_000))
    assert platform.request("PUT", FILE, key, content=pieces).json()["size"] == len(CONTENT)


def test_a_browser_of_another_origin_is_answered_with_its_header(platform: Platform, key: str) -> None:
    read = platform.request("GET", FILE, key, headers={"Origin": "https://lab.example"})
    assert read.headers["access-control-allow-origin"] == "https://lab.example"


def test_an_upload_does_not_need_the_gateway_once_it_has_begun(platform: Platform, key: str) -> None:
    connection = begun_upload(platform, key, CONTENT[:100_000])
    eventually(lambda: uploading(platform))
    (gateway,) = platform.processes()["gateway"]
    os.kill(gateway, signal.SIGKILL)
    eventually(lambda: platform.processes().get("gateway", [gateway]) != [gateway])
    connection.sendall(CONTENT[100_000:])
    assert b" 200 OK" in reply(connection)
    connection.close()


def test_an_upload_that_is_cut_off_leaves_the_old_file(platform: Platform, key: str, tmp_path: Path) -> None:
    platform.request("PUT", FILE, key, content=b"old")
    connection = begun_upload(platform, key, CONTENT[:100_000])
    eventually(lambda: uploading(platform))
    connection.close()
    eventually(lambda: not uploading(platform))
    assert platform.request("GET", FILE, key).content == b"old"


def test_a_refused_upload_is_told_why_while_it_still_sends(platform: Platform, key: str) -> None:
    for path, sent, status in ((FILE, "sim" + "0" * 25, 401), ("/v1/data/ann/nowhere/numbers", key, 404)):
        with pytest.raises(RuntimeError, match=f"{path}: {status} "):
            platform.request("PUT", path, sent, content=CONTENT * 10)


def test_a_client_that_waits_to_be_told_to_continue_is_told(platform: Platform, key: str) -> None:
    with socket.create_connection(("127.0.0.1", platform.port), timeout=30) as connection:
        head = f"PUT {FILE} HTTP/1.1\r\nHost: x\r\nAuthorization: Simple {key}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n".encode())
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"new")
        assert b" 200 OK" in reply(connection)


def test_a_download_that_is_cut_off_disturbs_nobody(platform: Platform, key: str) -> None:
    platform.request("PUT", FILE, key, content=CONTENT * 10)
    with socket.create_connection(("127.0.0.1", platform.port), timeout=30) as connection:
        connection.sendall(f"GET {FILE} HTTP/1.1\r\nHost: x\r\nAuthorization: Simple {key}\r\n\r\n".encode())
        assert connection.recv(17).startswith(b"HTTP/1.1 200 OK")
    (control,) = platform.processes()["control"]
    assert platform.request("GET", FILE, key).content == CONTENT * 10
    opened = Path(f"/proc/{control}/fd")
    eventually(lambda: not any("numbers" in os.readlink(link) for link in opened.iterdir() if link.is_symlink()))
    assert "Traceback" not in (platform.data / "logs" / "control.log").read_text()


def test_a_request_waits_for_a_control_that_is_being_restarted(platform: Platform, key: str) -> None:
    (control,) = platform.processes()["control"]
    os.kill(control, signal.SIGKILL)
    assert platform.request("PUT", FILE, key, content=b"new").json()["size"] == 3
    assert platform.request("GET", FILE, key).content == b"new"
