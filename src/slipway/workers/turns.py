"""Turns at the processors: a start keeps one busy for some tens of milliseconds, and a hundred at once only wait longer
for each other, and everybody else for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator


class Turns:
    """`number` at a time, in the order in which they come. One that lasts longer than `seconds`, waiting for something
    else perhaps, goes on, but the next one begins."""

    def __init__(self, number: int, seconds: float) -> None:
        self._free, self.seconds = asyncio.Semaphore(number), seconds

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it."""
        await self._free.acquire()
        lasts = True

        def over() -> None:
            nonlocal lasts
            if lasts:
                lasts = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self.seconds, over)
        try:
            yield
        finally:
            timer.cancel()
            over()


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))
