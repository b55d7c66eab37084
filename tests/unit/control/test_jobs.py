"""The runner of jobs, on a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from slipway.control.jobs import JobRunner, Verdict
from slipway.errors import CapacityError
from slipway.registry import jobs
from slipway.registry.store import Store
from slipway.types import Job
from tests.conditions import eventually_async


async def enqueue(store: Store, key: str, max_attempts: int = 3, lane: str = "", lane_limit: int = 0) -> Job:
    """A job."""
    async with store.begin() as connection:
        return await jobs.enqueue(
            connection,
            kind="work",
            idempotency_key=key,
            payload={"key": key},
            max_attempts=max_attempts,
            lane=lane,
            lane_limit=lane_limit,
        )


async def state(store: Store, job: Job) -> Job:
    """The job as it is now."""
    async with store.read() as connection:
        return await jobs.get(connection, job.id)


async def until(store: Store, job: Job, wanted: str) -> Job:
    """The job, once it is in that state."""

    async def reached() -> Job | None:
        found = await state(store, job)
        return found if found.state == wanted else None

    found = await eventually_async(reached)
    assert found is not None
    return found


@asynccontextmanager
async def running(store: Store, handler: Callable[[Job], object], concurrency: int = 2) -> AsyncIterator[JobRunner]:
    """A runner, cancelled afterwards."""

    async def handle(job: Job) -> Verdict | None:
        result = handler(job)
        if asyncio.iscoroutine(result):
            result = await result
        return result if isinstance(result, Verdict) else None

    runner = JobRunner(store, {"work": handle}, concurrency)
    task = asyncio.ensure_future(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_job_that_is_announced_runs_at_once_and_ends(store: Store) -> None:
    seen: list[str] = []
    async with running(store, lambda job: seen.append(job.payload["key"])) as runner:
        job = await enqueue(store, "one")
        runner.wake()
        await until(store, job, "succeeded")
    assert seen == ["one"]


async def test_a_job_that_nobody_announced_is_found(store: Store) -> None:
    async with running(store, lambda _job: None):
        await until(store, await enqueue(store, "silent"), "succeeded")


async def test_no_more_than_its_concurrency_run_at_once(store: Store) -> None:
    at_once, most, release = 0, 0, asyncio.Event()

    async def work(_job: Job) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await release.wait()
        at_once -= 1

    queued = [await enqueue(store, str(number)) for number in range(4)]
    async with running(store, work, concurrency=2):

        async def two() -> bool:
            return at_once == 2

        await eventually_async(two)
        release.set()
        for job in queued:
            await until(store, job, "succeeded")
    assert most == 2


async def test_a_failure_is_tried_again_and_then_kept_with_its_reason(store: Store) -> None:
    attempts: list[int] = []

    def work(job: Job) -> None:
        attempts.append(job.attempts)
        raise CapacityError("no host")

    async with running(store, work) as runner:
        job = await enqueue(store, "hard", max_attempts=2)
        runner.wake()
        failed = await until(store, job, "failed")
    assert (attempts, failed.error) == ([1, 2], "no host")


async def test_what_runs_when_the_process_stops_is_queued_again_at_once(store: Store) -> None:
    started = asyncio.Event()

    async def work(_job: Job) -> None:
        started.set()
        await asyncio.Event().wait()

    async with running(store, work):
        job = await enqueue(store, "cut off")
        await started.wait()
    found = await state(store, job)
    assert (found.state, found.lease_until, found.attempts - found.excused) == ("queued", None, 0)
    async with running(store, lambda _job: None):
        assert (await until(store, job, "succeeded")).attempts == 2


async def test_a_crowded_lane_leaves_room_for_others(store: Store) -> None:
    running_now: list[str] = []
    release = asyncio.Event()

    async def work(job: Job) -> None:
        running_now.append(job.payload["key"])
        await release.wait()

    slow = [await enqueue(store, f"slow {number}", lane="slow", lane_limit=2) for number in range(6)]
    quick = await enqueue(store, "quick", lane="quick", lane_limit=2)
    async with running(store, work, concurrency=4):
        await until(store, quick, "running")
        assert sorted(running_now) == ["quick", "slow 0", "slow 1"]
        release.set()
        for job in slow:
            await until(store, job, "succeeded")


async def test_a_job_that_is_postponed_runs_later_and_has_lost_no_attempt(store: Store) -> None:
    verdicts = [Verdict.POSTPONED, Verdict.POSTPONED, None]
    async with running(store, lambda _job: verdicts.pop(0)):
        job = await until(store, await enqueue(store, "patient", max_attempts=1, lane="full"), "succeeded")
    assert (job.attempts, job.excused, verdicts) == (3, 2, [])


async def test_a_lane_rests_after_a_job_of_it_found_no_room(store: Store) -> None:
    asked: list[str] = []

    def work(job: Job) -> Verdict | None:
        asked.append(job.payload["key"])
        return Verdict.POSTPONED if job.lane == "full" else None

    for number in range(50):
        await enqueue(store, str(number), lane="full", lane_limit=1)
    async with running(store, work):
        await until(store, await enqueue(store, "other", lane="free"), "succeeded")
    assert asked == ["0", "other"]


async def test_a_handler_may_end_its_job_itself(store: Store) -> None:
    async def work(job: Job) -> Verdict:
        async with store.begin() as connection:
            await jobs.fail(connection, job, "as the handler says", retry=False)
        return Verdict.ENDED

    async with running(store, work):
        assert (await until(store, await enqueue(store, "own"), "failed")).error == "as the handler says"


async def test_a_runner_whose_lease_ran_out_does_not_claim_what_it_still_runs(store: Store) -> None:
    begun, release = 0, asyncio.Event()

    async def work(_job: Job) -> None:
        nonlocal begun
        begun += 1
        await release.wait()

    async with running(store, work, concurrency=2) as runner:
        job = await enqueue(store, "long")
        runner.wake()
        held = await until(store, job, "running")
        async with store.begin() as connection:
            await jobs.extend(connection, held, -60.0)  # as after a long stall of the process
        other = await enqueue(store, "other")
        runner.wake()
        await until(store, other, "running")
        release.set()
        await until(store, job, "succeeded")
    assert begun == 2


async def test_a_store_that_is_busy_does_not_end_the_runner(store: Store) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def occupy() -> None:
        async with store.begin():
            entered.set()
            await release.wait()

    occupied = asyncio.ensure_future(occupy())
    await entered.wait()
    async with running(store, lambda _job: None):
        release.set()
        await occupied
        await until(store, await enqueue(store, "later"), "succeeded")
