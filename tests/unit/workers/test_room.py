"""The sum of what processes take, and what happens at its limit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from slipway.workers.memory import bytes_for_workers, machine_bytes
from slipway.workers.room import NoRoom, Room
from tests.factories import make_version

# The child writes to a fifth of what its parent has, and takes as much anew.
_FORK = """
import os
from slipway.workers.memory import own_bytes, private_bytes, young_bytes

PAGE, PART = 4096, 2560
block = bytearray(5 * PART * PAGE)
for place in range(0, len(block), PAGE):
    block[place] = 1
ready, go = os.pipe(), os.pipe()
child = os.fork()
if not child:
    os.read(go[0], 1)
    for place in range(0, PART * PAGE, PAGE):
        block[place] = 2
    new = bytearray(PART * PAGE)
    for place in range(0, len(new), PAGE):
        new[place] = 3
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    os._exit(0)
baseline = own_bytes(child)
os.write(go[1], b"x")
os.read(ready[0], 1)
print(2 * PART * PAGE, young_bytes(child, baseline), private_bytes(child))
os.write(go[1], b"x")
os.waitpid(child, 0)
"""


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


async def test_what_is_idle_goes_before_the_next_start_would_have_to_wait() -> None:
    asked: list[int] = []
    room = Room(6400, asked.append)
    await room.claim("one", 6200)
    assert asked == []
    await room.claim("two", 150)
    assert asked == [50]  # a 64th is kept free


def test_the_memory_of_a_process_that_was_just_forked_is_guessed_from_its_faults() -> None:
    printed = subprocess.run([sys.executable, "-c", _FORK], capture_output=True, text=True, check=True).stdout
    copied, guessed, measured = map(int, printed.split())
    assert copied < measured < 2 * copied
    assert 0.8 * measured < guessed < 1.3 * measured + 2**20


def test_the_platform_and_the_machine_keep_a_reserve() -> None:
    assert bytes_for_workers(24 * 2**30) == 24 * 2**30 * 15 // 16
    assert bytes_for_workers(2**30) == 2**29
    assert 2**28 < machine_bytes() < 2**50
