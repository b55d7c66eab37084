"""Jobs: leases, attempts, deadlines, idempotency."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import insert

from slipway.errors import NotFound
from slipway.registry import jobs, schema
from slipway.registry.store import Store
from slipway.types import Job


async def _enqueue(store: Store, key: str = "1", **options: Any) -> Job:
    async with store.begin() as connection:
        return await jobs.enqueue(connection, kind="build", idempotency_key=key, payload={"commit": "c"}, **options)


async def _claim(store: Store, lease_seconds: float = 60.0) -> Job | None:
    async with store.begin() as connection:
        return await jobs.claim(connection, ["build"], lease_seconds)


async def _must_claim(store: Store, lease_seconds: float = 60.0) -> Job:
    job = await _claim(store, lease_seconds)
    assert job is not None
    return job


async def _get(store: Store, job: Job) -> Job:
    async with store.read() as connection:
        return await jobs.get(connection, job.id)


async def test_the_oldest_job_is_claimed_first_and_only_once(store: Store) -> None:
    first, second = await _enqueue(store, "1"), await _enqueue(store, "2")
    claimed = await _must_claim(store)
    assert (claimed.id, claimed.state, claimed.attempts, claimed.payload) == (first.id, "running", 1, {"commit": "c"})
    assert (await _must_claim(store)).id == second.id
    assert await _claim(store) is None


async def test_only_jobs_of_the_kinds_asked_for_are_claimed(store: Store) -> None:
    await _enqueue(store)
    async with store.begin() as connection:
        assert await jobs.claim(connection, ["gate", "webhook"], 60) is None
        assert await jobs.claim(connection, ["gate", "build"], 60) is not None


async def test_many_claimers_never_get_the_same_job(store: Store) -> None:
    made = [await _enqueue(store, str(number)) for number in range(12)]
    claimed = await asyncio.gather(*(_claim(store) for _ in range(16)))
    ids = [job.id for job in claimed if job is not None]
    assert len(ids) == len(set(ids)) == len(made)


async def test_the_same_key_names_the_same_job(store: Store) -> None:
    first = await _enqueue(store)
    assert (await _enqueue(store)).id == first.id
    job = await _must_claim(store)
    assert (await _enqueue(store)).state == "running"
    async with store.begin() as connection:
        assert await jobs.finish(connection, job)
    assert (await _enqueue(store)).state == "succeeded"
    assert await _claim(store) is None


async def test_a_failed_job_is_queued_again_by_the_same_key(store: Store) -> None:
    await _enqueue(store, max_attempts=1)
    job = await _must_claim(store)
    async with store.begin() as connection:
        assert await jobs.fail(connection, job, "no space")
    failed = await _get(store, job)
    assert (failed.state, failed.error) == ("failed", "no space")
    again = await _enqueue(store)
    assert (again.id, again.state, again.attempts, again.error, again.finished_at) == (job.id, "queued", 0, "", None)


async def test_a_job_whose_lease_ran_out_is_claimed_again_and_lost_to_its_first_worker(store: Store) -> None:
    await _enqueue(store)
    first = await _must_claim(store, lease_seconds=-1)
    second = await _must_claim(store)
    assert (second.id, second.attempts) == (first.id, 2)
    async with store.begin() as connection:
        assert not await jobs.extend(connection, first, 60)
        assert not await jobs.finish(connection, first)
        assert not await jobs.fail(connection, first, "late")
        assert await jobs.extend(connection, second, 60)
        assert await jobs.finish(connection, second)


async def test_a_lease_that_was_extended_is_kept(store: Store) -> None:
    await _enqueue(store)
    job = await _must_claim(store, lease_seconds=-1)
    async with store.begin() as connection:
        assert await jobs.extend(connection, job, 60)
    assert await _claim(store) is None


async def test_a_job_fails_once_every_attempt_lost_its_worker(store: Store) -> None:
    await _enqueue(store, max_attempts=2)
    await _must_claim(store, lease_seconds=-1)
    job = await _must_claim(store, lease_seconds=-1)
    assert await _claim(store) is None
    ended = await _get(store, job)
    assert (ended.state, ended.attempts) == ("failed", 2)
    assert "worker" in ended.error


async def test_a_failed_attempt_is_retried_until_none_is_left(store: Store) -> None:
    await _enqueue(store, max_attempts=2)
    for state in ("queued", "failed"):
        job = await _must_claim(store)
        async with store.begin() as connection:
            assert await jobs.fail(connection, job, "reason")
        ended = await _get(store, job)
        assert (ended.state, ended.error) == (state, "reason")


async def test_a_job_that_is_given_back_has_lost_no_attempt(store: Store) -> None:
    await _enqueue(store, max_attempts=1)
    for number in (1, 2, 3):
        job = await _must_claim(store)
        assert (job.attempts, job.excused, jobs.has_attempts_left(job)) == (number, number - 1, False)
        async with store.begin() as connection:
            assert await jobs.release(connection, job)
            assert not await jobs.release(connection, job)
    job = await _must_claim(store, lease_seconds=-1)
    assert await _claim(store) is None
    assert (await _get(store, job)).state == "failed"


async def test_a_job_that_is_given_back_for_later_waits(store: Store) -> None:
    await _enqueue(store)
    async with store.begin() as connection:
        claimed = await jobs.claim(connection, ["build"], 60)
        assert claimed is not None
        assert await jobs.release(connection, claimed, 3600)
    assert await _claim(store) is None


async def test_it_is_known_how_many_wait_and_run(store: Store) -> None:
    for number in range(3):
        await _enqueue(store, str(number))
    await _must_claim(store)
    async with store.read() as connection:
        assert await jobs.standing(connection, "build") == {"queued": 2, "running": 1}
        assert await jobs.standing(connection, "gate") == {"queued": 0, "running": 0}


async def test_lanes_are_claimed_apart(store: Store) -> None:
    for number in range(5):
        await _enqueue(store, f"slow {number}", lane="slow", lane_limit=2)
    quick = await _enqueue(store, "quick", lane="quick", lane_limit=3)
    async with store.begin() as connection:
        assert await jobs.next_lane(connection, ["build"], []) == ("slow", 2)
        assert await jobs.next_lane(connection, ["build"], ["slow"]) == ("quick", 3)
        assert await jobs.next_lane(connection, ["build"], ["slow", "quick"]) is None
        assert await jobs.next_lane(connection, ["gate"], []) is None
        slow = await jobs.claim_in(connection, ["build"], "slow", 60, limit=2)
        assert [job.idempotency_key for job in slow] == ["slow 0", "slow 1"]
        assert [job.id for job in await jobs.claim_in(connection, ["build"], "quick", 60, limit=2)] == [quick.id]


async def test_claiming_looks_at_few_of_many_jobs(store: Store) -> None:
    async with store.begin() as connection:
        await connection.execute(
            insert(schema.jobs),
            [
                {
                    "id": str(number),
                    "kind": "build",
                    "idempotency_key": str(number),
                    "state": "succeeded" if number % 2 else "queued",
                    "payload": {},
                    "attempts": 0,
                    "max_attempts": 3,
                    "not_before": 0.0,
                    "deadline_at": time.time() + 3600,
                    "error": "",
                    "created_at": float(number),
                    "lane": "crowded" if number < 19_990 else "other",
                    "lane_limit": 1,
                }
                for number in range(20_000)
            ],
        )
        begun = time.monotonic()
        for _ in range(10):
            await jobs.recover(connection)
            assert await jobs.next_lane(connection, ["build"], ["crowded"]) == ("other", 1)
            assert len(await jobs.claim_in(connection, ["build"], "crowded", 60, limit=8)) == 8
    assert time.monotonic() - begun < 2.0


async def test_a_failure_that_retrying_cannot_mend_is_final(store: Store) -> None:
    await _enqueue(store)
    job = await _must_claim(store)
    async with store.begin() as connection:
        assert await jobs.fail(connection, job, "bad commit", retry=False)
    assert (await _get(store, job)).state == "failed"


async def test_a_retry_waits_as_long_as_it_was_told(store: Store) -> None:
    await _enqueue(store)
    job = await _must_claim(store)
    async with store.begin() as connection:
        assert await jobs.fail(connection, job, "busy", retry_in_seconds=3600)
    assert await _claim(store) is None


async def test_a_job_past_its_deadline_fails_and_is_not_claimed(store: Store) -> None:
    job = await _enqueue(store, deadline_at=time.time() - 1)
    assert await _claim(store) is None
    ended = await _get(store, job)
    assert (ended.state, ended.error) == ("failed", "its deadline passed")


async def test_an_unknown_job_is_not_found(store: Store) -> None:
    async with store.read() as connection:
        with pytest.raises(NotFound):
            await jobs.get(connection, "unknown")
