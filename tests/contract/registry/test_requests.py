"""Asynchronous calls in the store: kept once, settled once, forgotten in the end."""

from __future__ import annotations

import asyncio
import time

import pytest

from slipway.errors import NoSuchRequest
from slipway.registry import jobs, requests
from slipway.registry.requests import JOB_KIND, Request, Settlement
from slipway.registry.store import Store
from slipway.types import AlgorithmFailure, AsyncCall, Job, Outcome


def a_call(name: str = "1", version: str = "v", at_once: int = 1) -> AsyncCall:
    return AsyncCall(
        request_id=name,
        caller="ann",
        algorithm="ann/echo",
        version="0.1.0",
        version_id=version,
        timeout=300.0,
        content_type="json",
        input_size=2,
        at_once=at_once,
    )


async def add(store: Store, *calls: AsyncCall, body: bytes | None = b"[]") -> set[str]:
    async with store.begin() as connection:
        return await requests.add(connection, [(call, body) for call in calls])


async def get(store: Store, name: str = "1") -> Request:
    async with store.read() as connection:
        return await requests.get(connection, name)


async def settle(store: Store, *settlements: Settlement) -> set[str]:
    async with store.begin() as connection:
        return await requests.settle(connection, settlements)


async def claim(store: Store) -> Job | None:
    async with store.begin() as connection:
        return await jobs.claim(connection, [JOB_KIND], 60)


def a_settlement(name: str = "1", result: bytes | None = b"[]", outcome: Outcome = Outcome()) -> Settlement:  # noqa: B008
    return Settlement(request_id=name, outcome=outcome, result=result)


async def test_a_call_is_kept_with_its_input_and_a_job(store: Store) -> None:
    call = a_call(at_once=3)
    assert await add(store, call, body=b"\x00\xff") == {"1"}
    kept = await get(store)
    assert (kept.call, kept.state, kept.input, kept.outcome) == (call, "pending", b"\x00\xff", None)
    job = await claim(store)
    assert job is not None
    assert (job.idempotency_key, job.lane, job.lane_limit) == ("1", "v", 3 * requests.AHEAD)
    async with store.read() as connection:
        assert await requests.job_state(connection, "1") == "running"


async def test_the_same_call_twice_is_one_call_with_one_job(store: Store) -> None:
    assert await add(store, a_call("1")) == {"1"}
    assert await add(store, a_call("1"), a_call("2")) == {"2"}
    found = {job.idempotency_key for job in [await claim(store), await claim(store)] if job is not None}
    assert found == {"1", "2"}
    assert await claim(store) is None


async def test_the_first_outcome_is_the_only_one_and_ends_the_job(store: Store) -> None:
    await add(store, a_call("1"), a_call("2"))
    failure = AlgorithmFailure(error_type="AlgorithmError", message="no\x00", stack_trace="trace")
    failed = a_settlement("2", None, Outcome(failure=failure, printed=b"\xff"))
    assert await settle(store, a_settlement("1", b"first"), failed) == {"1", "2"}
    assert await settle(store, a_settlement("1", b"second"), a_settlement("3")) == set()
    one, two = await get(store, "1"), await get(store, "2")
    assert (one.state, one.result, two.outcome) == ("settled", b"first", failed.outcome)
    assert await claim(store) is None


async def test_two_outcomes_at_once_are_still_one(store: Store) -> None:
    await add(store, a_call())
    found = await asyncio.gather(*(settle(store, a_settlement(result=b"%d" % number)) for number in range(5)))
    assert sum(map(len, found)) == 1


async def test_calls_are_found_by_how_far_they_are(store: Store) -> None:
    before = time.time()
    await add(store, a_call("1"), a_call("2"), a_call("3"))
    await settle(store, a_settlement("2"), a_settlement("3"))
    async with store.begin() as connection:
        await requests.mark_recorded(connection, ["3"])
        pending = await requests.in_state(connection, "pending")
        settled = await requests.in_state(connection, "settled")
        assert [one.call.request_id for one in pending] == ["1"]
        assert [one.call.request_id for one in settled] == ["2"]
        assert await requests.in_state(connection, "pending", until=before - 1) == []
        assert await requests.in_state(connection, "pending", since=time.time() + 1) == []
        assert await requests.ended_before(connection, before - 1, 10) == []
        assert await requests.ended_before(connection, time.time() + 1, 10) == ["3"]


async def test_a_call_that_is_forgotten_is_gone_with_its_job(store: Store) -> None:
    await add(store, a_call("1"), a_call("2"))
    async with store.begin() as connection:
        await requests.remove(connection, ["1"])
        assert await requests.known(connection, ["1", "2"]) == {"2"}
        assert set(await requests.load(connection, ["1", "2"])) == {"2"}
    with pytest.raises(NoSuchRequest):
        await get(store, "1")
    job = await claim(store)
    assert job is not None
    assert job.idempotency_key == "2"


async def test_a_call_whose_version_is_gone_is_known_as_such(store: Store) -> None:
    await add(store, a_call(version="deleted"))
    async with store.read() as connection:
        (_, deployed) = (await requests.load(connection, ["1"]))["1"]
    assert not deployed
