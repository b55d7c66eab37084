"""The one runner of durable jobs: claims them under a lease, keeps the lease while they run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from slipway.errors import SlipwayError
from slipway.registry import jobs
from slipway.registry.store import Store
from slipway.types import Job

_LEASE_SECONDS = 6.0  # so long does a job of a control that was killed wait for the next one
_IDLE_SECONDS = 0.5  # how late a job may be seen that nobody announced

logger = logging.getLogger(__name__)

Handler = Callable[[Job], Awaitable[None]]


class JobRunner:
    """Runs up to `concurrency` jobs at once, each by the handler of its kind."""

    def __init__(self, store: Store, handlers: Mapping[str, Handler], concurrency: int) -> None:
        self._store, self._handlers = store, handlers
        self._free = asyncio.Semaphore(concurrency)
        self._running: dict[asyncio.Task[None], Job] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """A job was just enqueued here: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Claim and run for ever; what runs when this is cancelled is cancelled too, and queued again."""
        keeping = asyncio.ensure_future(self._keep())
        try:
            while True:
                await self._free.acquire()
                job = await self._next()
                task = asyncio.ensure_future(self._handle(job))
                self._running[task] = job
                task.add_done_callback(self._ended)
        finally:
            tasks = [keeping, *self._running]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _next(self) -> Job:
        while True:
            self._wake.clear()
            try:
                job = await self._claim()
            except SlipwayError as error:
                logger.warning("no job can be claimed: %s", error)
            else:
                if job is not None:
                    return job
            await self._pause()

    async def _claim(self) -> Job | None:
        async with self._store.begin() as connection:
            # After a stall of this process its own leases may have run out: it must not claim what it still runs.
            for job in list(self._running.values()):
                await jobs.extend(connection, job, _LEASE_SECONDS)
            return await jobs.claim(connection, list(self._handlers), _LEASE_SECONDS)

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
                await self._extend_all()
            except SlipwayError as error:
                logger.warning("leases of jobs cannot be extended: %s", error)

    async def _extend_all(self) -> None:
        if self._running:
            async with self._store.begin() as connection:
                for job in list(self._running.values()):
                    await jobs.extend(connection, job, _LEASE_SECONDS)

    async def _handle(self, job: Job) -> None:
        try:
            await self._handlers[job.kind](job)
        except asyncio.CancelledError:
            # The process stops: let the next one take the job at once, not when the lease ends.
            await self._fail(job, "control stopped", 0.0)
            raise
        except Exception as error:
            if not isinstance(error, SlipwayError):
                logger.exception("job %s of kind %s failed", job.id, job.kind)
            await self._fail(job, str(error) or repr(error), 0.5 * 2**job.attempts)
        else:
            async with self._store.begin() as connection:
                await jobs.finish(connection, job)

    async def _fail(self, job: Job, reason: str, retry_in_seconds: float) -> None:
        async with self._store.begin() as connection:
            await jobs.fail(connection, job, reason, retry_in_seconds=retry_in_seconds)

    def _ended(self, task: asyncio.Task[None]) -> None:
        job = self._running.pop(task)
        self._free.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its outcome could not be written: the lease runs out, and the job runs again.
            logger.error("the outcome of job %s cannot be kept: %s", job.id, error)
