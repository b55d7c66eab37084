"""A generator's items as server-sent events: when they leave, what is on record, who holds whom up."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway.ids import id_bytes
from slipway.journal.reader import find_call
from slipway.journal.records import CallRecord
from slipway.routing.ownership import owner_of
from slipway.testing import Platform
from tests.conditions import eventually

SOURCE = """
import os
import pathlib
import time


def apply(input):
    do = input["do"]
    if do == "items":
        return items(input["items"], input.get("fails"))
    if do == "steps":
        return steps(pathlib.Path(input["directory"]), input["count"])
    if do == "large":
        return large(pathlib.Path(input["directory"]), input["count"])
    return os.getpid() if do == "pid" else input


def items(values, fails):
    for value in values:
        print(value)
        yield bytes.fromhex(value[4:]) if str(value).startswith("hex:") else value
    if fails:
        raise ValueError("no more")


def steps(directory, count):
    try:
        for number in range(count):
            wait_for(directory / str(number))
            yield number
    finally:
        (directory / "over").touch()


def large(directory, count):
    try:
        for number in range(count):
            (directory / "made").write_text(str(number + 1))
            yield f"{number} " + "x" * 65536
    finally:
        (directory / "over").touch()


def wait_for(path):
    while not path.exists():
        time.sleep(0.002)
"""
CALLS = """
import slipway

def apply(input):
    return slipway.call("ann/stream", input)
"""
SSE = "text/event-stream"

# The algorithms wait for files of the tests: hence no sandboxes here.


class Streams:
    """A platform with the algorithm `ann/stream`, and a connection for ordinary calls."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.key = platform.account("ann")
        self.deploy("stream", SOURCE)
        self.headers = {"Authorization": f"Simple {self.key}", "Accept": SSE}
        self.url = f"{platform.url}/v1/algo/ann/stream"
        self._client = httpx.Client(headers={"Authorization": f"Simple {self.key}"}, timeout=60)

    def deploy(self, name: str, source: str) -> None:
        """One more algorithm."""
        self.platform.deploy("ann", name, self.key, source, scaling="max_replicas = 2")
        self.platform.publish("ann", name, self.key)

    def close(self) -> None:
        """Close the connection for ordinary calls."""
        self._client.close()

    @contextmanager
    def open(self, value: object, query: str = "") -> Iterator[Events]:
        """A stream whose head is there."""
        with httpx.stream("POST", self.url + query, json=value, headers=self.headers, timeout=60) as response:
            yield Events(response)

    def all(self, value: object, query: str = "") -> list[str]:
        """Every event of a stream."""
        return httpx.post(self.url + query, json=value, headers=self.headers, timeout=60).text.split("\n\n")[:-1]

    def call(self, value: object, algorithm: str = "stream") -> Any:
        """The result of an ordinary call."""
        reply = self._client.post(f"{self.platform.url}/v1/algo/ann/{algorithm}", json=value)
        return reply.json()["result"]

    def records(self, request_id: str) -> list[CallRecord]:
        """What is on record of a call."""
        found = find_call(self.platform.data / "journal", id_bytes(request_id))
        return [entry.record for entry in found if isinstance(entry.record, CallRecord)]

    def ended(self, request_id: str) -> CallRecord:
        """The end of a call, once it is on record; its start stands before."""
        eventually(lambda: len(self.records(request_id)) == 2)
        start, end = self.records(request_id)
        assert (start.phase, end.phase) == ("start", "end")
        return end

    def audited(self, request_id: str) -> dict[str, Any]:
        """The end of a call with its payload."""
        lines = self.platform.request("GET", "/v1/audit").iter_lines()
        found = [json.loads(line) for line in lines if request_id in line]
        return next(record for record in found if record["phase"] == "end")


class Events:
    """Events one by one, as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.request_id = response.headers["x-request-id"]
        self._chunks = response.iter_bytes()
        self._rest = b""

    def next(self) -> str:
        """The next one."""
        while b"\n\n" not in self._rest:
            self._rest += next(self._chunks)
        event, _, self._rest = self._rest.partition(b"\n\n")
        return event.decode()


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streams]:
    with Platform(tmp_path_factory.mktemp("streams") / "data", sandbox="none") as platform:
        streams = Streams(platform)
        yield streams
        streams.close()


def test_each_item_leaves_before_the_next_is_made(streams: Streams, tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    with streams.open({"do": "steps", "directory": str(tmp_path), "count": 3}) as events:
        for number in range(2):
            assert events.next() == f"data: {number}"
            assert not (tmp_path / "over").exists()
            (tmp_path / str(number + 1)).touch()
        assert events.next() == "data: 2"
        end = json.loads(events.next().removeprefix("event: end\ndata: "))
    head = events.response.headers
    assert (events.response.http_version, head["transfer-encoding"]) == ("HTTP/1.1", "chunked")
    assert (head["content-type"], head["cache-control"]) == (SSE, "no-store")
    assert end == {"metadata": {"duration": end["metadata"]["duration"]}, "request_id": events.request_id}


def test_its_start_is_on_record_before_the_first_item_and_its_end_before_the_last_event(
    streams: Streams, tmp_path: Path
) -> None:
    (tmp_path / "0").touch()
    with streams.open({"do": "steps", "directory": str(tmp_path), "count": 2}) as events:
        events.next()
        assert [record.phase for record in streams.records(events.request_id)] == ["start"]
        (tmp_path / "1").touch()
        assert [events.next(), events.next()[:10]] == ["data: 1", "event: end"]
        start, end = streams.records(events.request_id)
    assert (start.phase, end.phase, end.status, end.result_size, end.result_type) == ("start", "end", 200, 2, "json")
    assert end.duration_us > 0
    assert streams.audited(events.request_id)["result"] == "[0,1]"


def test_text_and_bytes_are_json_too(streams: Streams) -> None:
    found = streams.all({"do": "items", "items": ["a\nb\u2028c", "hex:0001", {"a": None}]})
    assert found[:3] == ['data: "a\\nb\u2028c"', 'content_type: binary\ndata: "AAE="', 'data: {"a":null}']


def test_the_query_asks_for_a_stream_too(streams: Streams) -> None:
    headers = {"Authorization": f"Simple {streams.key}"}
    value = {"do": "items", "items": [1]}
    found = httpx.post(f"{streams.url}?output=stream", json=value, headers=headers, timeout=60)
    assert found.text.startswith("data: 1\n\nevent: end\n")


def test_what_it_printed_stands_in_the_last_event_for_the_owner_who_asks(streams: Streams) -> None:
    end = streams.all({"do": "items", "items": [1, 2]}, "?stdout=true")[-1]
    assert json.loads(end.partition("data: ")[2])["metadata"]["stdout"] == "1\n2\n"


def test_who_does_not_ask_for_a_stream_gets_the_items_in_a_list(streams: Streams) -> None:
    value = {"do": "items", "items": [1, "two"]}
    assert streams.call(value) == [1, "two"]
    streams.deploy("caller", CALLS)
    assert streams.call(value, "caller") == [1, "two"]


def test_an_error_behind_items_is_the_last_event(streams: Streams) -> None:
    with streams.open({"do": "items", "items": [1], "fails": True}) as events:
        assert events.next() == "data: 1"
        name, data = events.next().split("\n")
    reply = json.loads(data.removeprefix("data: "))
    assert (name, reply["error"]["error_type"], reply["error"]["message"]) == (
        "event: error",
        "AlgorithmError",
        "ValueError: no more",
    )
    assert "raise ValueError" in reply["error"]["stacktrace"]
    assert (reply["request_id"], set(reply["metadata"])) == (events.request_id, {"duration"})
    end = streams.ended(events.request_id)
    assert (end.error_type, end.result_size) == ("AlgorithmError", 1)


def test_an_error_before_the_first_item_is_answered_as_any_calls(streams: Streams) -> None:
    value = {"do": "items", "items": [], "fails": True}
    reply = httpx.post(streams.url, json=value, headers=streams.headers, timeout=60)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json()["error"]["message"] == "ValueError: no more"
    (record,) = streams.records(reply.json()["request_id"])
    assert (record.phase, record.error_type) == ("call", "AlgorithmError")


@pytest.mark.parametrize(("path", "key", "status"), [("/9.9.9", "", 404), ("", "simNobody", 401)])
def test_a_refusal_has_its_real_status(streams: Streams, path: str, key: str, status: int) -> None:
    headers = {"Authorization": f"Simple {key or streams.key}", "Accept": SSE}
    assert httpx.post(streams.url + path, json=1, headers=headers).status_code == status


def test_what_is_no_generator_is_one_item(streams: Streams) -> None:
    with streams.open({"do": "echo"}) as events:
        assert [events.next(), events.next()[:10]] == ['data: {"do":"echo"}', "event: end"]
    (record,) = streams.records(events.request_id)
    assert (record.phase, record.result_size) == ("call", len('{"do":"echo"}'))


def test_a_generator_of_nothing_is_only_the_end(streams: Streams) -> None:
    (event,) = streams.all({"do": "items", "items": []})
    assert event.startswith("event: end\n")


def test_the_time_of_a_call_is_that_of_its_whole_stream(streams: Streams, tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    with streams.open({"do": "steps", "directory": str(tmp_path), "count": 2}, "?timeout=0.5") as events:
        assert events.next() == "data: 0"
        assert "TimeoutError" in events.next()
    assert streams.ended(events.request_id).error_type == "TimeoutError"


def test_a_client_that_leaves_ends_the_generator_and_frees_its_worker(streams: Streams, tmp_path: Path) -> None:
    workers = {streams.call({"do": "pid"}) for _ in range(20)}
    with streams.open({"do": "large", "directory": str(tmp_path), "count": 1_000_000}) as events:
        events.next()
    eventually((tmp_path / "over").exists)
    end = streams.ended(events.request_id)
    assert (end.status, end.result_size > 0) == (499, True)
    assert streams.call({"do": "pid"}) in workers


def test_a_client_that_reads_nothing_holds_up_its_own_generator_only(streams: Streams, tmp_path: Path) -> None:
    count, made = 1000, tmp_path / "made"
    (gateway,) = streams.platform.processes()["gateway"]
    value = json.dumps({"do": "large", "directory": str(tmp_path), "count": count}).encode()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.settimeout(60)
        client.connect(("127.0.0.1", streams.platform.port))
        before = _memory(gateway)
        client.sendall(_head(streams, len(value), f"Accept: {SSE}") + value)
        eventually(made.exists)
        progress = _settled(streams, made)
        assert progress < count / 2
        assert _memory(gateway) - before < 32 * 2**20
        received = b""
        while b"event: end" not in received:
            received = received[-2000:] + client.recv(2**20)
    assert made.read_text() == str(count)


def test_no_call_is_sent_ahead_behind_a_stream(streams: Streams, tmp_path: Path) -> None:
    for _ in range(50):  # so quick that many are sent ahead
        streams.call({"do": "echo"})
    (tmp_path / "0").touch()
    with streams.open({"do": "steps", "directory": str(tmp_path), "count": 2}) as events:
        events.next()
        for _ in range(20):
            assert streams.call({"do": "echo"}) == {"do": "echo"}
        (tmp_path / "1").touch()
        assert events.next() == "data: 1"


def test_streams_and_calls_on_one_connection_are_answered_in_order(streams: Streams) -> None:
    stream = json.dumps({"do": "items", "items": list(range(50))}).encode()
    plain = b'{"do":"echo"}'
    streamed = _head(streams, len(stream), f"Accept: {SSE}") + stream
    called = _head(streams, len(plain)) + plain
    with socket.create_connection(("127.0.0.1", streams.platform.port), timeout=60) as client:
        client.sendall(streamed + called + streamed + called)  # all but the first are pipelined
        received = b""
        while received.count(b'"request_id"') < 4:
            part = client.recv(65536)
            assert part, received
            received += part
        client.sendall(called)
        assert b'"result":{"do":"echo"}' in client.recv(65536)
    found = re.findall(rb"data: 49|event: end|\"result\"", received)
    assert found == [b"data: 49", b"event: end", b'"result"'] * 2


def test_a_client_of_http_1_0_reads_to_the_end_of_the_connection(streams: Streams) -> None:
    value = json.dumps({"do": "items", "items": [1, 2]}).encode()
    head = _head(streams, len(value), f"Accept: {SSE}").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with socket.create_connection(("127.0.0.1", streams.platform.port), timeout=60) as client:
        client.sendall(head + value)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    lines, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in lines.lower()
    assert body.startswith(b"data: 1\n\ndata: 2\n\nevent: end\n")


def test_a_gateway_killed_within_a_stream_leaves_it_recorded_as_interrupted(streams: Streams, tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    (gateway,) = streams.platform.processes()["gateway"]
    with streams.open({"do": "steps", "directory": str(tmp_path), "count": 2}) as events:
        events.next()
        os.kill(gateway, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            events.next()
    assert streams.ended(events.request_id).error_type == "Interrupted"


def _head(streams: Streams, length: int, *lines: str) -> bytes:
    first = ["POST /v1/algo/ann/stream HTTP/1.1", "Host: localhost", f"Authorization: Simple {streams.key}"]
    return "\r\n".join([*first, f"Content-Length: {length}", *lines, "", ""]).encode()


def _memory(pid: int) -> int:
    """Resident bytes of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def _settled(streams: Streams, made: Path) -> int:
    """How far the generator is when it has stood still during many calls of others."""
    while True:
        before = made.read_text()
        for _ in range(50):
            assert streams.call({"do": "echo"}) == {"do": "echo"}
        if before and before == made.read_text():
            return int(before)


# --- two gateways ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streams]:
    with Platform(tmp_path_factory.mktemp("two") / "data", gateways=2, sandbox="none") as platform:
        streams = Streams(platform)
        yield streams
        streams.close()


def _owner(streams: Streams) -> str:
    page = streams.platform.request("GET", "/v1/algorithms/ann/stream/versions", streams.key).json()
    return owner_of(page["results"][0]["version_info"]["version_uuid"], ("gateway-0", "gateway-1")) or ""


@contextmanager
def _forwarded(streams: Streams, value: object) -> Iterator[Events]:
    """A stream whose client is at the gateway that has not its version's queue; its first item is read."""
    owner = _owner(streams)
    for _ in range(50):
        with streams.open(value) as events:
            assert events.next().startswith("data: ")
            (start,) = streams.records(events.request_id)
            if start.gateway != owner:
                yield events
                return
    raise AssertionError("every connection went to the same gateway")


def test_items_come_through_the_gateway_that_has_the_client(two: Streams, tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    with _forwarded(two, {"do": "steps", "directory": str(tmp_path), "count": 30}) as events:
        for number in range(1, 30):
            (tmp_path / str(number)).touch()
            assert events.next() == f"data: {number}"
        assert events.next().startswith("event: end")
    assert two.ended(events.request_id).status == 200


def test_a_client_that_leaves_one_gateway_ends_the_generator_at_the_other(two: Streams, tmp_path: Path) -> None:
    with _forwarded(two, {"do": "large", "directory": str(tmp_path), "count": 1_000_000}) as events:
        (tmp_path / "over").unlink(missing_ok=True)
    eventually((tmp_path / "over").exists)
    assert two.ended(events.request_id).status == 499


def test_a_stream_whose_gateway_is_lost_is_not_tried_elsewhere(two: Streams, tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    owner = _owner(two)
    pids = two.platform.processes()["gateway"]
    name = f"SLIPWAY_GATEWAY_NAME={owner}\0".encode()
    pid = next(pid for pid in pids if name in Path(f"/proc/{pid}/environ").read_bytes())
    with _forwarded(two, {"do": "steps", "directory": str(tmp_path), "count": 2}) as events:
        os.kill(pid, signal.SIGKILL)
        assert "the gateway that ran the call was lost" in events.next()
    assert two.ended(events.request_id).error_type == "SystemError"
