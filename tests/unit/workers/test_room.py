"""The sum of what processes take, and what happens at its limit."""

from __future__ import annotations

import asyncio
import os

import pytest

from slipway.workers.memory import bytes_for_workers, machine_bytes
from slipway.workers.room import NoRoom, Room
from tests.factories import make_version


async def test_a_claim_waits_for_what_is_leaving() -> None:
    asked: list[int] = []
    room = Room(100, asked.append)
    await room.claim("old", 80)
    room.leaving("old")
    claim = asyncio.ensure_future(room.claim("new", 50))
    await asyncio.sleep(0)
    assert not claim.done()
    room.left("old")
    await claim

    assert room.taken_bytes == 50
    assert asked == []  # what leaves is enough


async def test_what_cannot_be_freed_is_refused() -> None:
    asked: list[int] = []
    room = Room(100, asked.append)
    await room.claim("old", 80)
    with pytest.raises(NoRoom, match="has 0 MiB for workers"):
        await room.claim("new", 50)

    assert asked == [30]
    assert room.taken_bytes == 80


async def test_what_was_measured_takes_the_place_of_what_was_supposed() -> None:
    room = Room(2**40, lambda _bytes: None)
    version = make_version()
    await room.claim("one", room.supposed(version, fresh=False))
    room.settled("one", os.getpid())
    await room.measure(lambda _key: version.id)

    assert room.taken_bytes == room.size("one") == room.supposed(version, fresh=False) > 5 * 2**20
    room.left("one")
    await room.measure(lambda _key: version.id)
    assert room.taken_bytes == 0


def test_the_platform_and_the_machine_keep_a_reserve() -> None:
    assert bytes_for_workers(24 * 2**30) == 24 * 2**30 * 15 // 16
    assert bytes_for_workers(2**30) == 2**29
    assert 2**28 < machine_bytes() < 2**50
