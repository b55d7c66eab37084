"""The one runner of durable jobs: claims them under a lease, keeps the lease while they run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum

from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import SlipwayError
from slipway.registry import jobs
from slipway.registry.store import Store
from slipway.types import Job

_LEASE_SECONDS = 6.0  # so long does a job of a control that was killed wait for the next one
_IDLE_SECONDS = 0.5  # how late a job may be seen that nobody announced
_RECOVER_SECONDS = 1.0
_FIRST_REST_SECONDS, _LONGEST_REST_SECONDS = 0.2, 10.0  # of a lane, doubled each time
_MOST_DOUBLINGS = 10  # of the pause after a failure

logger = logging.getLogger(__name__)


class Verdict(Enum):
    """How a handler left its job, where it did not simply do it."""

    ENDED = "ended"  # it has ended the job in the store itself, together with the result
    POSTPONED = "postponed"  # no fault of the job: later again, and the attempt does not count


Handler = Callable[[Job], Awaitable[Verdict | None]]  # None: done


class JobRunner:
    """Runs up to `concurrency` jobs at once, each by the handler of its kind."""

    def __init__(self, store: Store, handlers: Mapping[str, Handler], concurrency: int) -> None:
        self._store, self._handlers, self._concurrency = store, handlers, concurrency
        self._kinds = list(handlers)
        self._running: dict[asyncio.Task[None], Job] = {}
        self._rests: dict[str, tuple[float, float]] = {}  # lane → until when it rests, and for how long
        self._wake = asyncio.Event()
        self._recovered = 0.0

    def resize(self, concurrency: int) -> None:
        """From now on up to that many at once; what runs goes on."""
        self._concurrency = concurrency
        self._wake.set()

    def wake(self) -> None:
        """A job was just enqueued here: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Claim and run for ever; what runs when this is cancelled is cancelled too, and queued again."""
        keeping = asyncio.ensure_future(self._keep())
        try:
            while True:
                self._wake.clear()
                claimed = await self._next()
                for job in claimed:
                    task = asyncio.ensure_future(self._handle(job))
                    self._running[task] = job
                    task.add_done_callback(self._ended)
                if not claimed:
                    await self._pause()
        finally:
            tasks = [keeping, *self._running]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _next(self) -> list[Job]:
        room = self._concurrency - len(self._running)
        if room <= 0:
            return []
        try:
            async with self._store.begin() as connection:
                await self._recover(connection)
                return await self._claim(connection, room)
        except SlipwayError as error:
            logger.warning("no job can be claimed: %s", error)
            return []

    async def _claim(self, connection: AsyncConnection, room: int) -> list[Job]:
        """As many as there is room for, one lane after the other: a crowded lane does not keep others waiting."""
        inside = Counter(job.lane for job in self._running.values())
        busy = {job.lane for job in self._running.values() if 0 < job.lane_limit <= inside[job.lane]}
        now = time.monotonic()
        busy |= {lane for lane, (until, _) in self._rests.items() if until > now}
        claimed: list[Job] = []
        while len(claimed) < room:
            found = await jobs.next_lane(connection, self._kinds, sorted(busy))
            if found is None:
                break
            lane, limit = found
            most = room - len(claimed)
            if limit:
                most = min(most, limit - inside[lane])
            if most > 0:
                claimed += await jobs.claim_in(connection, self._kinds, lane, _LEASE_SECONDS, most)
            busy.add(lane)
        return claimed

    async def _recover(self, connection: AsyncConnection) -> None:
        if time.monotonic() - self._recovered < _RECOVER_SECONDS:
            return
        # After a stall of this process its own leases may have run out: it must not claim what it still runs.
        await self._extend_all(connection)
        await jobs.recover(connection)
        self._recovered = time.monotonic()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_LEASE_SECONDS / 3)
            try:
                if self._running:
                    async with self._store.begin() as connection:
                        await self._extend_all(connection)
            except SlipwayError as error:
                logger.warning("leases of jobs cannot be extended: %s", error)

    async def _extend_all(self, connection: AsyncConnection) -> None:
        for job in list(self._running.values()):
            await jobs.extend(connection, job, _LEASE_SECONDS)

    async def _handle(self, job: Job) -> None:
        try:
            verdict = await self._handlers[job.kind](job)
        except asyncio.CancelledError:
            # The process stops, which is no fault of the job: let the next one take it at once.
            await self._release(job, 0.0)
            raise
        except Exception as error:
            if not isinstance(error, SlipwayError):
                logger.exception("job %s of kind %s failed", job.id, job.kind)
            await self._fail(job, str(error) or repr(error))
        else:
            await self._conclude(job, verdict)

    async def _conclude(self, job: Job, verdict: Verdict | None) -> None:
        if verdict is Verdict.POSTPONED:
            await self._release(job, self._rest(job.lane))
            return
        self._rests.pop(job.lane, None)
        if verdict is None:
            async with self._store.begin() as connection:
                await jobs.finish(connection, job)

    def _rest(self, lane: str) -> float:
        """For how long the job waits, and all of its lane with it: where one finds no room, the others would not."""
        now = time.monotonic()
        until, seconds = self._rests.get(lane, (0.0, 0.0))
        if until <= now:
            seconds = min(seconds * 2, _LONGEST_REST_SECONDS) if seconds else _FIRST_REST_SECONDS
            if lane:
                self._rests[lane] = (now + seconds, seconds)
        return seconds

    async def _release(self, job: Job, seconds: float) -> None:
        async with self._store.begin() as connection:
            await jobs.release(connection, job, seconds)

    async def _fail(self, job: Job, reason: str) -> None:
        pause = 0.5 * 2 ** min(jobs.tries(job), _MOST_DOUBLINGS)
        async with self._store.begin() as connection:
            await jobs.fail(connection, job, reason, retry_in_seconds=pause)

    def _ended(self, task: asyncio.Task[None]) -> None:
        job = self._running.pop(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its outcome could not be written: the lease runs out, and the job runs again.
            logger.error("the outcome of job %s cannot be kept: %s", job.id, error)
