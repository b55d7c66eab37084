"""Forgets asynchronous calls once their results were kept for long enough, and gives up those that never ran."""

from __future__ import annotations

import asyncio
import logging
import time

from slipway.control.asynchronous.files import RequestFiles
from slipway.control.asynchronous.runs import Runs, refused
from slipway.errors import DeadlineExceeded, SlipwayError
from slipway.registry import requests
from slipway.registry.store import Store

_SOME = 500  # at a time, so that nobody waits long for the store
_MOST_SECONDS, _LEAST_SECONDS = 60.0, 0.2  # between two looks

logger = logging.getLogger(__name__)


class Retention:
    """What is older than `seconds` goes: input, result, and the request itself. The journal stays as it is."""

    def __init__(self, store: Store, files: RequestFiles, runs: Runs, seconds: float) -> None:
        self._store, self._files, self._runs, self._seconds = store, files, runs, seconds
        self._pause = min(_MOST_SECONDS, max(_LEAST_SECONDS, seconds / 10))

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.sweep()
            except (SlipwayError, OSError) as error:
                logger.warning("old asynchronous calls cannot be removed: %s", error)
            await asyncio.sleep(self._pause)

    async def sweep(self) -> None:
        """Once."""
        oldest = time.time() - self._seconds
        await self._give_up(oldest)
        while True:
            async with self._store.begin() as connection:
                old = await requests.ended_before(connection, oldest, _SOME)
                await requests.remove(connection, old)
            await self._files.remove(old)
            if len(old) < _SOME:
                return

    async def _give_up(self, oldest: float) -> None:
        while True:
            async with self._store.read() as connection:
                stale = await requests.in_state(connection, "pending", until=oldest, limit=_SOME)
            error = DeadlineExceeded(
                f"the call could not be run within {self._seconds:g} s, as long as requests are kept"
            )
            for request in stale:
                await self._runs.settle(request.call, refused(error))
            if len(stale) < _SOME:
                return
