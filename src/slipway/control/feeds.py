"""The gateways' feeds of what they must know, and the promise that goes with them: what is answered is known there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from slipway.registry import snapshot
from slipway.registry.store import Store
from slipway.types import Snapshot

_HEARTBEAT_SECONDS = 1.0
_PATIENCE_SECONDS = 1.0  # for a gateway that is stuck

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Feeds:
    """All feeds that are being read, and up to which revision each was sent."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sent: dict[object, int] = {}
        self._progress = asyncio.Event()

    @property
    def readers(self) -> int:
        """How many gateways read along."""
        return len(self._sent)

    async def snapshots(self) -> AsyncIterator[bytes]:
        """One feed: everything at first, then what each commit changed; a heartbeat every second in between."""
        reader = object()
        async with self._store.read() as connection:
            known = await snapshot.full(connection)
        try:
            while True:
                yield msgspec.json.encode(known) + b"\n"
                self._note(reader, known.revision)
                known = await self._following(known.revision)
        finally:
            self._sent.pop(reader, None)
            self._note(None, 0)

    async def told(self) -> None:
        """Return once every feed was sent what is committed by now; a reader that does not read is not waited for."""
        revision = await self._store.revision()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while any(sent < revision for sent in self._sent.values()):
                    await self._progress.wait()
        except TimeoutError:
            return

    async def _following(self, revision: int) -> Snapshot:
        latest = await self._store.wait_for_change(revision, _HEARTBEAT_SECONDS)
        if latest == revision:
            return Snapshot(revision=revision)
        async with self._store.read() as connection:
            return await snapshot.increment(connection, revision)

    def _note(self, reader: object | None, revision: int) -> None:
        if reader is not None:
            self._sent[reader] = revision
        self._progress.set()
        self._progress = asyncio.Event()


class TellFirst:
    """ASGI middleware: a request that may have changed the store is answered once the gateways were told.

    So a version is callable, and a key good or refused, as soon as the request that made it so is answered.
    """

    def __init__(self, application: Application, feeds: Feeds) -> None:
        self._application, self._feeds = application, feeds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._application(scope, receive, send)
            return

        async def after_telling(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                await self._feeds.told()
            await send(message)

        await self._application(scope, receive, after_telling)
