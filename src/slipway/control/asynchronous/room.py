"""How many asynchronous calls the gateways have at a time: few, so that calls whose caller waits find room."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """Up to `most` calls in all, and up to a number of each version that the version itself sets."""

    def __init__(self, most: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._versions: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()  # of these, whoever waits included

    @asynccontextmanager
    async def inside(self, version_id: str, at_once: int) -> AsyncIterator[None]:
        """Wait for room, first among those of the same version, and hold it."""
        one = self._versions.setdefault(version_id, asyncio.Semaphore(at_once))
        self._users[version_id] += 1
        try:
            async with one, self._all:
                yield
        finally:
            self._users[version_id] -= 1
            if not self._users[version_id]:
                del self._users[version_id], self._versions[version_id]
