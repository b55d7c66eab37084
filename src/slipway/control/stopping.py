"""The end of the process: what would go on for ever, or for long, asks here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")

_END = object()


class Stopping:
    """Whether the process has been told to end."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether it has."""
        return self._told.is_set()

    def begin(self) -> None:
        """Tell everyone."""
        self._told.set()

    async def until(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """The items, until there are no more or the process stops; `items` is closed then."""
        told = asyncio.ensure_future(self._told.wait())
        following: asyncio.Future[T | object] | None = None
        try:
            while True:
                following = asyncio.ensure_future(anext(items, _END))
                await asyncio.wait((following, told), return_when=asyncio.FIRST_COMPLETED)
                if not following.done() or (item := following.result()) is _END:
                    return
                yield item  # type: ignore[misc]
        finally:
            told.cancel()
            await _close(items, following)


async def _close(items: AsyncIterator[T], following: asyncio.Future[T | object] | None) -> None:
    if following is not None and not following.done():
        following.cancel()
        await asyncio.wait([following])
    if isinstance(items, AsyncGenerator):
        await items.aclose()
