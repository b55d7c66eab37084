"""Calls that wait anyway are handed over together; each keeps its own record."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.testing import Platform

SOURCE = """
import time


def apply_batch(inputs):
    time.sleep(0.05)
    return [[value, len(inputs), 1 / value] for value in inputs]
"""
CALLS = 20


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("batches") / "data") as platform:
        yield platform


@pytest.fixture(scope="module")
def key(platform: Platform) -> str:
    return platform.account("ann")


def deploy(platform: Platform, key: str, name: str, scaling: str) -> str:
    """The address of an algorithm with one worker."""
    platform.deploy("ann", name, key, SOURCE, scaling=f"max_replicas = 1\n{scaling}")
    platform.publish("ann", name, key)
    return f"{platform.url}/v1/algo/ann/{name}"


def replies(url: str, key: str, values: list[int]) -> list[dict[str, Any]]:
    """All at once."""
    headers = {"Authorization": f"Simple {key}"}
    with ThreadPoolExecutor(len(values)) as pool, httpx.Client(headers=headers, timeout=60) as client:
        return list(pool.map(lambda value: client.post(url, json=value).json(), values))


def test_what_waits_while_the_worker_is_busy_becomes_batches(platform: Platform, key: str) -> None:
    url = deploy(platform, key, "waiting", "max_batch = 8")
    found = replies(url, key, list(range(1, CALLS + 1)))
    assert [reply["result"][0] for reply in found] == list(range(1, CALLS + 1))
    sizes = [reply["result"][1] for reply in found]
    assert 1 < max(sizes) <= 8
    assert len({reply["request_id"] for reply in found}) == CALLS
    records = [entry.record for entry in read_all(platform.data / "journal")]
    calls = [one for one in records if isinstance(one, CallRecord) and one.algorithm == "ann/waiting"]
    assert len({call.call_id for call in calls}) == len(calls) == CALLS
    assert all(call.duration_us >= 50_000 for call in calls)


def test_a_bad_input_fails_alone(platform: Platform, key: str) -> None:
    url = deploy(platform, key, "bad", "max_batch = 8")
    found = replies(url, key, [*range(1, CALLS), 0])
    assert ["error" in reply for reply in found] == [False] * (CALLS - 1) + [True]


def test_an_idle_worker_waits_for_company_only_where_it_is_told_to(platform: Platform, key: str) -> None:
    url = deploy(platform, key, "patient", "max_batch = 4\nmax_delay_ms = 5000")
    (first,) = replies(url, key, [1])  # loads, and is alone for all its time
    assert first["result"][1] == 1
    assert [reply["result"][1] for reply in replies(url, key, [1, 2, 3, 4])] == [4] * 4
