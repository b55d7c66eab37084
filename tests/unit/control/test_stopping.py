"""What would go on for ever ends when the process does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from slipway.control.stopping import Stopping


async def counting(closed: list[str], last: int | None = None) -> AsyncIterator[int]:
    """1, 2 and so on up to `last`; without one it waits for ever behind 2."""
    try:
        for number in range(1, (last or 2) + 1):
            yield number
        if last is None:
            await asyncio.Event().wait()
    finally:
        closed.append("closed")


async def test_items_pass_until_there_are_no_more() -> None:
    closed: list[str] = []
    assert [item async for item in Stopping().until(counting(closed, 3))] == [1, 2, 3]
    assert closed == ["closed"]


async def test_what_waits_for_the_next_item_ends_and_is_closed() -> None:
    stopping, closed, seen = Stopping(), list[str](), list[int]()
    async for item in stopping.until(counting(closed)):
        seen.append(item)
        if item == 2:
            asyncio.get_running_loop().call_soon(stopping.begin)
    assert (seen, closed, stopping.begun) == ([1, 2], ["closed"], True)


async def test_whoever_leaves_early_closes_the_source() -> None:
    closed: list[str] = []
    items = Stopping().until(counting(closed))
    waiting = asyncio.ensure_future(_all(items))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert closed == ["closed"]


async def test_an_error_of_the_source_is_raised() -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await _all(Stopping().until(failing()))


async def _all(items: AsyncIterator[int]) -> list[int]:
    return [item async for item in items]
