"""The one runner of durable jobs: claims them under a lease, keeps the lease while they run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from slipway.errors import SlipwayError
from slipway.registry import jobs
from slipway.registry.store import Store
from slipway.types import Job

_LEASE_SECONDS = 15.0
_IDLE_SECONDS = 0.5  # how late a job may be seen that nobody announced

logger = logging.getLogger(__name__)

Handler = Callable[[Job], Awaitable[None]]


class JobRunner:
    """Runs up to `concurrency` jobs at once, each by the handler of its kind."""

    def __init__(self, store: Store, handlers: Mapping[str, Handler], concurrency: int) -> None:
        self._store, self._handlers = store, handlers
        self._free = asyncio.Semaphore(concurrency)
        self._running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """A job was just enqueued here: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Claim and run for ever; what runs when this is cancelled is cancelled too, and claimed again later."""
        try:
            while True:
                await self._free.acquire()
                job = await self._next()
                task = asyncio.get_running_loop().create_task(self._handle(job))
                self._running.add(task)
                task.add_done_callback(self._ended)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _next(self) -> Job:
        while True:
            self._wake.clear()
            async with self._store.begin() as connection:
                job = await jobs.claim(connection, list(self._handlers), _LEASE_SECONDS)
            if job is not None:
                return job
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _handle(self, job: Job) -> None:
        keeping = asyncio.get_running_loop().create_task(self._keep(job))
        try:
            await self._handlers[job.kind](job)
        except asyncio.CancelledError:
            await self._give_back(job)
            raise
        except SlipwayError as error:
            await self._fail(job, str(error))
        except Exception as error:
            logger.exception("job %s of kind %s failed", job.id, job.kind)
            await self._fail(job, repr(error))
        else:
            async with self._store.begin() as connection:
                await jobs.finish(connection, job)
        finally:
            keeping.cancel()

    async def _keep(self, job: Job) -> None:
        while True:
            await asyncio.sleep(_LEASE_SECONDS / 3)
            async with self._store.begin() as connection:
                await jobs.extend(connection, job, _LEASE_SECONDS)

    async def _fail(self, job: Job, reason: str) -> None:
        async with self._store.begin() as connection:
            await jobs.fail(connection, job, reason, retry_in_seconds=0.5 * 2**job.attempts)

    async def _give_back(self, job: Job) -> None:
        """The process stops: let the next one take the job at once, not when the lease ends."""
        async with self._store.begin() as connection:
            await jobs.fail(connection, job, "control stopped")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free.release()
