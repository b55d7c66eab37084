"""kill -9 of every kind of process while asynchronous calls are taken and run: none is lost, each has one result."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway.ids import id_text
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.testing import Platform, descendants
from tests.conditions import eventually

SLOW_ECHO = """
import time

def apply(input):
    time.sleep(0.02)
    return input
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with Platform(tmp_path / "data", drain_seconds=5) as platform:
        yield platform


def victims(platform: Platform, kind: str) -> list[int]:
    """Process ids of one kind; zygotes are workers too."""
    if kind == "worker":
        return [pid for host in platform.processes()["host"] for pid in descendants(host)]
    return platform.processes().get(kind, [])


class Submitters:
    """Callers that hand in asynchronous calls with unique inputs, and keep the ids of those that were accepted."""

    def __init__(self, platform: Platform, key: str) -> None:
        self._url = f"{platform.url}/v1/algo/ann/echo?output=void"
        self._headers = {"Authorization": f"Simple {key}", "Content-Type": "application/json"}
        self._numbers = itertools.count()
        self.accepted: dict[str, int] = {}

    async def run(self, done: asyncio.Event, connections: int = 4) -> None:
        """Hand in calls from several connections until `done`."""
        await asyncio.gather(*(self._one(done) for _ in range(connections)))

    async def reached(self, more: int) -> None:
        """Wait until that many further calls were accepted."""
        goal = len(self.accepted) + more
        async with asyncio.timeout(60):
            while len(self.accepted) < goal:
                await asyncio.sleep(0.005)

    async def _one(self, done: asyncio.Event) -> None:
        async with httpx.AsyncClient(headers=self._headers, timeout=30) as client:
            while not done.is_set():
                number = next(self._numbers)
                try:
                    reply = await client.post(self._url, content=str(number))
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                if reply.status_code == 200:
                    assert reply.json()["async"] == "void"
                    self.accepted[reply.json()["request_id"]] = number
                else:
                    assert reply.status_code == 503, reply.text
                    await asyncio.sleep(0.05)


def outcome(platform: Platform, key: str, request_id: str) -> dict[str, Any] | None:
    """What is known of a request once it has ended."""
    reply = httpx.get(f"{platform.url}/v1/requests/{request_id}", headers={"Authorization": key}, timeout=30)
    if reply.status_code == 503:
        return None
    found: dict[str, Any] = reply.raise_for_status().json()
    return found if found["status"] in ("succeeded", "failed") else None


def all_succeeded(platform: Platform, key: str, accepted: dict[str, int]) -> None:
    """Wait until every accepted call has its own input as its result."""
    for request_id, number in accepted.items():
        found = eventually(lambda one=request_id: outcome(platform, key, one), 60)  # type: ignore[misc]
        assert found is not None
        assert (found["status"], found.get("result")) == ("succeeded", number), found


def phases(journal: Path) -> dict[str, Counter[str]]:
    """How many starts and ends each asynchronous call has on record."""
    found: dict[str, Counter[str]] = {}
    for entry in read_all(journal):
        if isinstance(entry.record, CallRecord) and entry.record.job:
            found.setdefault(id_text(entry.record.call_id), Counter())[entry.record.phase] += 1
    return found


def assert_each_has_one_start_and_one_end(platform: Platform, accepted: dict[str, int]) -> None:
    """Also those whose caller was cut off before it was told that its call is safe."""
    once = Counter(start=1, end=1)
    eventually(lambda: all(found == once for found in phases(platform.data / "journal").values()), 60)
    assert set(accepted) <= set(phases(platform.data / "journal"))


@pytest.mark.parametrize("kind", ["gateway", "control", "host", "observer", "worker"])
async def test_no_accepted_call_is_lost_and_each_has_one_result(platform: Platform, kind: str) -> None:
    key = platform.account("ann")
    platform.deploy("ann", "echo", key, SLOW_ECHO)
    platform.publish("ann", "echo", key)
    submitters, done = Submitters(platform, key), asyncio.Event()
    submitting = asyncio.ensure_future(submitters.run(done))
    for _ in range(3):
        await submitters.reached(random.randint(5, 40))
        for pid in victims(platform, kind):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await submitters.reached(5)
    done.set()
    await submitting

    all_succeeded(platform, key, submitters.accepted)
    assert_each_has_one_start_and_one_end(platform, submitters.accepted)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_calls_that_were_accepted_run_after_the_whole_platform_was_stopped(
    platform: Platform, number: signal.Signals
) -> None:
    key = platform.account("ann")
    platform.deploy("ann", "echo", key, SLOW_ECHO)
    platform.publish("ann", "echo", key)
    submitters, done = Submitters(platform, key), asyncio.Event()
    for _ in range(2):
        done.clear()
        submitting = asyncio.ensure_future(submitters.run(done, connections=8))
        await submitters.reached(60)
        await asyncio.to_thread(platform.stop, number)
        done.set()
        await submitting
        await asyncio.to_thread(platform.start)

    all_succeeded(platform, key, submitters.accepted)
    assert_each_has_one_start_and_one_end(platform, submitters.accepted)
