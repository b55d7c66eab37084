"""One worker has several calls at a time; each keeps its own record."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.testing import Platform

# Nothing of it returns unless as many calls as are sent together are in the author's code at the same time.
PLAIN = """
import os, threading

barrier = threading.Barrier(8)


def apply(input):
    if input == "stay":
        threading.Event().wait()
    barrier.wait()
    print(input)
    return [input, os.getpid(), 1 / input]
"""
ASYNC = """
import asyncio, os

count, event = 0, asyncio.Event()


async def apply(input):
    global count
    if input == "stay":
        await asyncio.Event().wait()
    count += 1
    if count % 8 == 0:
        event.set()
    await event.wait()
    print(input)
    return [input, os.getpid(), 1 / input]
"""
CALLS = 8


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("concurrency") / "data") as platform:
        yield platform


@pytest.fixture(scope="module")
def key(platform: Platform) -> str:
    return platform.account("ann")


def deploy(platform: Platform, key: str, name: str, source: str) -> str:
    """The address of an algorithm with one worker for so many calls."""
    platform.deploy("ann", name, key, source, scaling=f"max_replicas = 1\nconcurrency = {CALLS}")
    platform.publish("ann", name, key)
    return f"{platform.url}/v1/algo/ann/{name}"


def replies(url: str, key: str, values: list[object], timeout: float = 30) -> list[dict[str, Any]]:
    """All at once."""
    headers = {"Authorization": f"Simple {key}"}
    address = f"{url}?timeout={timeout}&stdout=true"
    with ThreadPoolExecutor(len(values)) as pool, httpx.Client(headers=headers, timeout=60) as client:
        return list(pool.map(lambda value: client.post(address, json=value).json(), values))


@pytest.mark.parametrize("source", [PLAIN, ASYNC], ids=["plain", "async"])
def test_calls_overlap_in_one_worker_and_keep_what_is_theirs(
    platform: Platform, key: str, source: str, request: pytest.FixtureRequest
) -> None:
    name = f"overlap_{request.node.callspec.id}"
    url = deploy(platform, key, name, source)
    values: list[object] = [*range(1, CALLS), 0]
    found = replies(url, key, values)

    assert [reply["result"][0] for reply in found[:-1]] == values[:-1]
    assert len({reply["result"][1] for reply in found[:-1]}) == 1
    assert "division by zero" in found[-1]["error"]["message"]
    assert [reply["metadata"]["stdout"] for reply in found[:-1]] == [f"{value}\n" for value in values[:-1]]
    records = [entry.record for entry in read_all(platform.data / "journal")]
    calls = [one for one in records if isinstance(one, CallRecord) and one.algorithm == f"ann/{name}"]
    assert len({call.call_id for call in calls}) == len(calls) == CALLS
    assert len({call.replica for call in calls}) == 1


def test_a_task_over_its_time_is_cancelled_and_its_worker_lives(platform: Platform, key: str) -> None:
    url = deploy(platform, key, "late_task", ASYNC)
    (late,) = replies(url, key, ["stay"], timeout=0.5)
    found = replies(url, key, list(range(1, CALLS + 1)))
    again = replies(url, key, list(range(1, CALLS + 1)))

    assert late["error"]["error_type"] == "TimeoutError"
    assert len({reply["result"][1] for reply in found + again}) == 1


def test_a_thread_over_its_time_is_ended_with_its_worker(platform: Platform, key: str) -> None:
    url = deploy(platform, key, "late_thread", PLAIN)
    (late,) = replies(url, key, ["stay"], timeout=0.5)
    found = replies(url, key, list(range(1, CALLS + 1)))

    assert late["error"]["error_type"] == "TimeoutError"
    assert len({reply["result"][1] for reply in found}) == 1
