from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway.ids import id_bytes
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.testing import Platform
from tests.conditions import eventually
from tests.contract.gateway.conftest import Deployed


def call(deployed: Deployed, value: Any, *, path: str = "", key: str | None = None, **headers: str) -> httpx.Response:
    """POST a JSON value, or bytes as they are."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    sent = {"Authorization": f"Simple {key or deployed.key}", "Content-Type": "application/json", **headers}
    return httpx.post(deployed.url + path, content=content, headers=sent, timeout=60)


def records_of(platform: Platform, request_id: str) -> list[CallRecord]:
    """Every record of a call."""
    entries = read_all(platform.data / "journal")
    found = [entry.record for entry in entries if isinstance(entry.record, CallRecord)]
    return [record for record in found if record.call_id == id_bytes(request_id)]


def raw(deployed: Deployed, data: bytes, replies: int = 1) -> bytes:
    """Send bytes as they are and read until that many bodies have come."""
    with socket.create_connection(("127.0.0.1", deployed.platform.port), timeout=20) as connection:
        connection.sendall(data)
        received = b""
        while received.count(b'"request_id"') < replies:
            part = connection.recv(65536)
            if not part:
                break
            received += part
        return received


def head(deployed: Deployed, *lines: str) -> bytes:
    """A request's head."""
    first = ["POST /v1/algo/ann/probe HTTP/1.1", "Host: localhost", f"Authorization: Simple {deployed.key}"]
    return "\r\n".join([*first, "Content-Type: application/json", *lines, "", ""]).encode()


@pytest.mark.parametrize("selector", ["", "/", "/0.1.0", "/0.1", "/0.*", "/latest", "/latestPrivate"])
def test_version_selectors_reach_the_published_version(deployed: Deployed, selector: str) -> None:
    assert call(deployed, [1], path=selector).json()["result"] == [1]


def test_a_commit_hash_reaches_its_version(deployed: Deployed) -> None:
    assert call(deployed, [1], path=f"/{deployed.commit}").json()["result"] == [1]


@pytest.mark.parametrize("form", ["{}", "Simple {}", "Bearer {}"])
def test_every_form_of_the_key_is_accepted(deployed: Deployed, form: str) -> None:
    assert call(deployed, 1, Authorization=form.format(deployed.key)).status_code == 200


def test_the_reply_has_result_metadata_and_request_id_and_its_record(deployed: Deployed) -> None:
    reply = call(deployed, {"a": 1}).json()

    assert set(reply) == {"result", "metadata", "request_id"}
    assert reply["metadata"]["content_type"] == "json"
    (record,) = records_of(deployed.platform, reply["request_id"])
    assert (record.caller, record.algorithm, record.version, record.status) == ("ann", "ann/probe", "0.1.0", 200)


def test_text_and_binary_bodies_keep_their_kind(deployed: Deployed) -> None:
    text = call(deployed, "grüße".encode(), **{"Content-Type": "text/plain"}).json()
    binary = call(deployed, b"\xff\x00", **{"Content-Type": "application/octet-stream"}).json()

    assert (text["result"], text["metadata"]["content_type"]) == ("grüße", "text")
    assert (binary["result"], binary["metadata"]["content_type"]) == ("/wA=", "binary")


def test_raw_output_is_the_bare_result(deployed: Deployed) -> None:
    reply = call(deployed, {"do": "bytes"}, path="?output=raw")

    assert (reply.content, reply.headers["content-type"]) == (b"\x00\x01", "application/octet-stream")


def test_void_answers_at_once_and_the_work_goes_on(deployed: Deployed) -> None:
    reply = call(deployed, {"do": "sleep", "seconds": 0.3}, path="?output=void").json()

    assert reply["async"]
    phases = eventually(lambda: len(found := records_of(deployed.platform, reply["request_id"])) == 2 and found)
    assert phases
    assert [record.phase for record in phases] == ["start", "end"]


def test_stdout_is_given_to_the_owner_who_asks(deployed: Deployed) -> None:
    assert call(deployed, {"do": "print"}, path="?stdout=true").json()["metadata"]["stdout"] == "seen\n"
    assert "stdout" not in call(deployed, {"do": "print"}).json()["metadata"]


def test_an_error_of_the_algorithm_is_a_200_with_its_trace(deployed: Deployed) -> None:
    reply = call(deployed, {"do": "raise"})
    error = reply.json()["error"]

    assert (reply.status_code, error["error_type"], error["message"]) == (200, "AlgorithmError", "ValueError: no")
    assert error["stacktrace"] == error["stack_trace"]
    assert 'raise ValueError("no")' in error["stacktrace"]


def test_a_call_over_its_time_is_a_timeout_and_its_worker_is_replaced(deployed: Deployed) -> None:
    before = call(deployed, {"do": "pid"}).json()["result"]
    error = call(deployed, {"do": "sleep", "seconds": 30}, path="?timeout=0.2").json()["error"]
    after = call(deployed, {"do": "pid"}).json()["result"]

    assert error["error_type"] == "TimeoutError"
    assert before != after


def test_a_worker_that_exits_is_a_system_exit_and_is_replaced(deployed: Deployed) -> None:
    error = call(deployed, {"do": "kill"}).json()["error"]

    assert error["error_type"] == "SystemExit"
    assert "status 9" in error["message"]
    assert call(deployed, 1).json()["result"] == 1


def test_a_worker_over_its_memory_is_an_out_of_memory_error_and_is_replaced(deployed: Deployed) -> None:
    assert call(deployed, {"do": "memory"}).json()["error"]["error_type"] == "OutOfMemoryError"
    assert call(deployed, 1).json()["result"] == 1


@pytest.mark.parametrize(
    ("path", "value", "status", "error_type"),
    [
        ("", b"[1,", 400, "ParsingError"),
        ("", b"", 400, "ParsingError"),
        ("?timeout=soon", 1, 400, "InputError"),
        ("?timeout=-1", 1, 400, "InputError"),
        ("?output=paper", 1, 400, "InputError"),
        ("/9.9.9", 1, 404, "EntityNotFoundError"),
        ("/" + "0" * 40, 1, 404, "EntityNotFoundError"),
        ("/a/b", 1, 404, "EntityNotFoundError"),
    ],
)
def test_bad_requests_are_refused_and_recorded(
    deployed: Deployed, path: str, value: Any, status: int, error_type: str
) -> None:
    reply = call(deployed, value, path=path)

    assert (reply.status_code, reply.json()["error"]["error_type"]) == (status, error_type)
    (record,) = records_of(deployed.platform, reply.json()["request_id"])
    assert (record.caller, record.status) == ("ann", status)


def test_a_wrong_key_is_a_401_and_a_strangers_a_403(deployed: Deployed) -> None:
    assert call(deployed, 1, key="simNobody").status_code == 401
    assert httpx.post(deployed.url, content="1").status_code == 401
    assert call(deployed, 1, key=deployed.stranger).status_code in (403, 404)


def test_a_body_over_the_limit_is_a_413_that_names_the_way_out(deployed: Deployed) -> None:
    reply = call(deployed, b'"' + b"x" * 1_200_000 + b'"')

    assert reply.status_code == 413
    assert "data://" in reply.json()["error"]["message"]


def test_a_chunked_body_over_the_limit_is_cut_off_too(deployed: Deployed) -> None:
    chunk = b"%x\r\n" % 100_000 + b"x" * 100_000 + b"\r\n"
    received = raw(deployed, head(deployed, "Transfer-Encoding: chunked") + chunk * 11)

    assert b" 413 " in received.split(b"\r\n")[0]


def test_chunked_and_pipelined_requests_are_answered_in_order(deployed: Deployed) -> None:
    chunked = head(deployed, "Transfer-Encoding: chunked") + b"2\r\n[1\r\n2\r\n,2\r\n1\r\n]\r\n0\r\n\r\n"
    plain = head(deployed, "Content-Length: 3") + b"[3]"
    received = raw(deployed, chunked + plain + plain, replies=3)

    assert re.findall(rb'"result":([^"]+),"metadata"', received) == [b"[1,2]", b"[3]", b"[3]"]


def test_a_slow_client_gets_its_reply(deployed: Deployed) -> None:
    with socket.create_connection(("127.0.0.1", deployed.platform.port), timeout=20) as connection:
        for byte in head(deployed, "Content-Length: 3") + b"[7]":
            connection.sendall(bytes((byte,)))
        assert b'"result":[7]' in connection.recv(65536)


def test_connection_close_is_honoured(deployed: Deployed) -> None:
    with socket.create_connection(("127.0.0.1", deployed.platform.port), timeout=20) as connection:
        connection.sendall(head(deployed, "Content-Length: 1", "Connection: close") + b"1")
        received = b""
        while part := connection.recv(65536):
            received += part

    assert b"connection: close" in received.lower()


def test_garbage_is_answered_400_and_closed(deployed: Deployed) -> None:
    assert b" 400 " in raw(deployed, b"\x00\x01garbage\r\n\r\n").split(b"\r\n")[0]


def test_a_caller_that_leaves_is_recorded_and_frees_its_place(deployed: Deployed, tmp_path: Path) -> None:
    before, mark = time.time(), tmp_path / "begun"
    worker = call(deployed, {"do": "pid"}).json()["result"]
    with socket.create_connection(("127.0.0.1", deployed.platform.port), timeout=20) as connection:
        body = json.dumps({"do": "sleep", "seconds": 60, "mark": str(mark)}).encode()
        connection.sendall(head(deployed, f"Content-Length: {len(body)}") + body)
        eventually(mark.exists)  # a call that no worker has begun would be taken back, and cost none

    def recorded() -> bool:
        entries = (entry.record for entry in read_all(deployed.platform.data / "journal", before))
        return any(isinstance(record, CallRecord) and record.status == 499 for record in entries)

    assert eventually(recorded)
    assert eventually(lambda: not Path(f"/proc/{worker}").exists())
    assert call(deployed, 1).json()["result"] == 1


def test_cors_is_granted_to_the_origin_that_is_set(deployed: Deployed) -> None:
    granted = call(deployed, 1, Origin="https://shop.example")
    other = call(deployed, 1, Origin="https://evil.example")
    preflight = httpx.options(
        deployed.url, headers={"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    )

    assert granted.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in other.headers
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"


def test_a_key_is_good_and_refused_as_soon_as_that_is_answered(deployed: Deployed) -> None:
    for _ in range(5):
        made = deployed.platform.request("POST", "/v1/users/ann/keys", deployed.key, json={}).json()
        assert call(deployed, 1, key=made["key"]).status_code == 200
        deployed.platform.request("DELETE", f"/v1/users/ann/keys/{made['id']}", deployed.key)
        assert call(deployed, 1, key=made["key"]).status_code == 401


def test_calls_go_on_while_control_is_gone(deployed: Deployed) -> None:
    (control,) = deployed.platform.processes()["control"]
    os.kill(control, signal.SIGKILL)

    assert call(deployed, 5).json()["result"] == 5
    # A request waits some seconds for the next control; where the machine is slower it is told to come again.
    whoami = eventually(lambda: _whoami(deployed), timeout=60)
    assert whoami["username"] == "ann"


def test_an_upload_passes_through_in_bounded_memory(deployed: Deployed) -> None:
    size = 200 * 2**20
    pids = deployed.platform.processes()
    before = {pid: _peak(pid) for pid in (*pids["gateway"], *pids["control"])}
    deployed.platform.request("POST", "/v1/data/ann", deployed.key, json={"name": "big"})
    chunks = (bytes(2**20) for _ in range(size // 2**20))

    reply = deployed.platform.request("PUT", "/v1/data/ann/big/file", deployed.key, content=chunks).json()

    assert reply["size"] == size
    assert all(_peak(pid) - peak < 60 * 2**20 for pid, peak in before.items())


def test_a_websocket_reaches_control(deployed: Deployed) -> None:
    handshake = (
        b"GET /v1/socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", deployed.platform.port), timeout=20) as connection:
        connection.sendall(handshake)
        # Control offers no WebSocket yet: that it is control which says so shows that the tunnel stands.
        assert b"there is nothing at /v1/socket" in connection.recv(65536)


def _whoami(deployed: Deployed) -> dict[str, Any]:
    """What control answers; nothing where it is not there to answer."""
    headers = {"Authorization": f"Simple {deployed.key}"}
    reply = httpx.get(f"{deployed.platform.url}/v1/whoami", headers=headers, timeout=60)
    found: dict[str, Any] = {} if reply.status_code == 503 else reply.json()
    return found


def _peak(pid: int) -> int:
    """Most memory that a process has had resident, in bytes."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
