"""Callers with unique inputs, for scenarios in which something breaks underneath them."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from slipway.ids import id_text
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord


class Callers:
    """`connections` callers in a closed loop. Keeps every reply that was received."""

    def __init__(self, url: str, key: str, connections: int = 32) -> None:
        self._url, self._connections = url, connections
        self._headers = {"Authorization": f"Simple {key}", "Content-Type": "application/json"}
        self._numbers = itertools.count()
        self.results: dict[str, int] = {}  # request id → the unique input that it answered
        self.failures: list[str] = []  # error types of replies that were errors
        self.broken = 0  # connections that were lost without a reply
        self.good = 0

    async def during(self, story: Callable[[], Awaitable[None]]) -> None:
        """Call from all connections for as long as `story` lasts."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._call_on()) for _ in range(self._connections)]
            await story()
            for task in tasks:
                task.cancel()

    async def served(self, more: int = 50, timeout: float = 30.0) -> None:
        """Wait until that many further calls were answered right."""
        goal = self.good + more
        async with asyncio.timeout(timeout):
            while self.good < goal:
                await asyncio.sleep(0.005)

    async def _call_on(self) -> None:
        while True:
            async with httpx.AsyncClient(headers=self._headers, timeout=30) as client:
                try:
                    while True:
                        await self._call(client)
                except httpx.TransportError:
                    self.broken += 1
                    await asyncio.sleep(0.01)

    async def _call(self, client: httpx.AsyncClient) -> None:
        number = next(self._numbers)
        reply = await client.post(self._url, content=str(number))
        body = reply.json()
        if "error" in body:
            self.failures.append(body["error"]["error_type"])
            if body["request_id"]:
                self.results[body["request_id"]] = -1
            return
        assert body["result"] == number
        self.results[body["request_id"]] = number
        self.good += 1


def records(journal: Path) -> Counter[str]:
    """How often each call id stands in the journals."""
    return Counter(id_text(e.record.call_id) for e in read_all(journal) if isinstance(e.record, CallRecord))
