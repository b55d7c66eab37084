"""Bounds on what is in flight, what waits and what comes back; retries, and replicas that are reserved."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from slipway.ids import id_bytes
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.testing import Platform
from tests.conditions import eventually

ECHO = "def apply(input):\n    return input\n"
STUCK = "import time\n\ndef apply(input):\n    time.sleep(300)\n"
PARENT = "import slipway\n\ndef apply(input):\n    return slipway.call('ann/echo', input)\n"
LONG = "def apply(input):\n    return 'x' * input\n"
MORTAL = """
import os
import signal

from slipway.sdk import platform

def apply(input):
    mark = "/v1/data/.my/marks/" + input
    if platform.request("GET", mark).status == 200:
        return "again"
    platform.request("PUT", mark, b"here")
    os.kill(os.getpid(), signal.SIGKILL)
"""
KEY_LIMIT, ACCOUNT_LIMIT, WAITING_BYTES, REPLY_BYTES = 3, 5, 100_000, 1_000_000


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    bounds = {"key_concurrency": KEY_LIMIT, "account_concurrency": ACCOUNT_LIMIT}
    sizes = {"waiting_limit_bytes": WAITING_BYTES, "reply_limit_bytes": REPLY_BYTES}
    with Platform(tmp_path_factory.mktemp("bounds") / "data", **bounds, **sizes) as platform:
        yield platform


@pytest.fixture(scope="module")
def ann(platform: Platform) -> str:
    key = platform.account("ann")
    deploy(platform, key, "echo", ECHO)
    return key


@pytest.fixture(scope="module")
def bob(platform: Platform) -> str:
    return platform.account("bob")


def deploy(platform: Platform, key: str, name: str, source: str, scaling: str = "") -> None:
    platform.deploy("ann", name, key, source, scaling=scaling)
    platform.publish("ann", name, key, "public")


def call(platform: Platform, key: str, name: str, value: Any) -> httpx.Response:
    headers = {"Authorization": f"Simple {key}"}
    return httpx.post(f"{platform.url}/v1/algo/ann/{name}", json=value, headers=headers, timeout=60)


def record_of(platform: Platform, reply: httpx.Response) -> CallRecord:
    identity = id_bytes(reply.json()["request_id"])
    records = (entry.record for entry in read_all(platform.data / "journal"))
    return next(one for one in records if isinstance(one, CallRecord) and one.call_id == identity)


def leased(platform: Platform, name: str) -> int:
    """How many workers an algorithm has."""
    replicas = platform.request("GET", "/v1/status").json()["replicas"]
    return sum(one["algorithm"] == f"ann/{name}" and one["state"] == "leased" for one in replicas)


def deploy_stuck(platform: Platform, key: str, name: str, queue_limit: int = 100) -> None:
    """An algorithm with one worker, ready to take one call for ever."""
    deploy(platform, key, name, STUCK, f"min_replicas = 1\nmax_replicas = 1\nqueue_limit = {queue_limit}")
    eventually(lambda: leased(platform, name) == 1)


@contextlib.contextmanager
def calls_in_flight(platform: Platform, key: str, name: str, count: int, body: bytes = b"1") -> Iterator[None]:
    """Connections that wait for a reply of an algorithm that is stuck, as long as the block takes."""
    lines = (f"POST /v1/algo/ann/{name} HTTP/1.1", "Host: localhost", f"Authorization: Simple {key}")
    head = "\r\n".join([*lines, "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]).encode()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", platform.port), timeout=20))
            connection.sendall(head + body)
        yield


def refused(platform: Platform, key: str, status: int, name: str = "echo", value: Any = 1) -> httpx.Response | None:
    """A reply with that status, if a call that waits for a moment only has it."""
    reply = call(platform, key, f"{name}?timeout=0.5", value)
    return reply if reply.status_code == status else None


def test_a_key_and_an_account_have_so_many_calls_in_flight_and_no_more(platform: Platform, ann: str) -> None:
    second = platform.request("POST", "/v1/users/ann/keys", ann, json={}).json()["key"]
    deploy_stuck(platform, ann, "kind")
    with calls_in_flight(platform, ann, "kind", KEY_LIMIT):
        reply = eventually(lambda: refused(platform, ann, 429))
        assert reply is not None
        assert reply.headers["retry-after"] == "1"
        assert "of this key" in reply.json()["error"]["message"]
        assert record_of(platform, reply).status == 429
        assert call(platform, second, "echo", 1).status_code == 200
        # A key that is made or revoked makes gateways forget what they have decided, not what is in flight.
        made = platform.request("POST", "/v1/users/ann/keys", ann, json={}).json()
        platform.request("DELETE", f"/v1/users/ann/keys/{made['id']}", ann)
        assert call(platform, ann, "echo", 1).status_code == 429
    eventually(lambda: call(platform, ann, "echo", 1).status_code == 200)


def test_all_keys_of_an_account_count_together(platform: Platform, ann: str, bob: str) -> None:
    others = [platform.request("POST", "/v1/users/bob/keys", bob, json={}).json()["key"] for _ in range(2)]
    deploy_stuck(platform, ann, "patient")
    one, two = (calls_in_flight(platform, key, "patient", n) for key, n in zip(others, (3, 2), strict=True))
    with one, two:
        reply = eventually(lambda: refused(platform, bob, 429))
        assert reply is not None
        assert "of this account" in reply.json()["error"]["message"]
        assert call(platform, ann, "echo", 1).status_code == 200
    eventually(lambda: call(platform, bob, "echo", 1).status_code == 200)


def test_what_a_call_calls_is_not_refused_for_the_place_that_the_call_holds(platform: Platform, ann: str) -> None:
    deploy(platform, ann, "parent", PARENT)
    with ThreadPoolExecutor(KEY_LIMIT) as pool:
        replies = list(pool.map(lambda number: call(platform, ann, "parent", number), range(KEY_LIMIT)))
    assert [reply.json().get("result") for reply in replies] == list(range(KEY_LIMIT))


def test_a_stuck_algorithm_with_a_full_queue_does_not_slow_another_down(platform: Platform, ann: str, bob: str) -> None:
    deploy_stuck(platform, ann, "stuck", queue_limit=2)
    with calls_in_flight(platform, bob, "stuck", 3):  # one at work, two wait
        full = eventually(lambda: refused(platform, ann, 503, "stuck"))
        assert full is not None
        assert full.headers["retry-after"] == "1"
        with httpx.Client(headers={"Authorization": f"Simple {ann}"}, timeout=60) as client:
            replies = [client.post(f"{platform.url}/v1/algo/ann/echo", json=number) for number in range(200)]
        assert [reply.json().get("result") for reply in replies] == list(range(200))
        assert call(platform, ann, "stuck", 1).status_code == 503


def test_bodies_that_wait_hold_no_more_memory_than_they_may(platform: Platform, ann: str, bob: str) -> None:
    body = json.dumps("x" * (WAITING_BYTES * 2 // 3))
    deploy_stuck(platform, ann, "large")
    with calls_in_flight(platform, bob, "large", 2, body.encode()):  # one at work, one waits
        reply = eventually(lambda: refused(platform, ann, 503, "large", json.loads(body)))
        assert reply is not None
        assert reply.headers["retry-after"] == "1"
        assert "memory" in reply.json()["error"]["message"]


def test_a_result_over_the_limit_is_an_error_and_its_worker_goes_on(platform: Platform, ann: str) -> None:
    deploy(platform, ann, "long", LONG, "max_replicas = 1")
    assert call(platform, ann, "long", 900_000).json()["result"] == "x" * 900_000
    error = call(platform, ann, "long", 3_000_000).json()["error"]
    assert error["error_type"] == "TooLargeError"
    assert str(REPLY_BYTES) in error["message"]
    reply = call(platform, ann, "long", 1)
    assert reply.json()["result"] == "x"
    assert not record_of(platform, reply).cold_start


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_call_whose_worker_ends_is_tried_again_only_if_its_version_says_so(
    platform: Platform, ann: str, idempotent: bool
) -> None:
    name = "mortal" if idempotent else "careful"
    if idempotent:
        platform.request("POST", "/v1/data/ann", ann, json={"name": "marks"})
    deploy(platform, ann, name, MORTAL, f"idempotent = {str(idempotent).lower()}")
    reply = call(platform, ann, name, name).json()
    if idempotent:
        assert reply["result"] == "again"
    else:
        assert reply["error"]["error_type"] == "SystemExit"


def test_what_is_reserved_runs_without_a_call_until_the_reservation_is_given_up(platform: Platform, ann: str) -> None:
    deploy(platform, ann, "kept", ECHO, "idle_seconds = 0.1")
    body = {"username": "ann", "algoname": "kept", "num_slots": 2}
    made = platform.request("POST", "/v1/admin/reservations", json=body).json()
    eventually(lambda: leased(platform, "kept") == 2)
    platform.request("DELETE", f"/v1/admin/reservations/{made['reservation_id']}")
    eventually(lambda: leased(platform, "kept") == 0)
