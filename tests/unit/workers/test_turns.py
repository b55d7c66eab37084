"""Starts take turns at the processors."""

from __future__ import annotations

import asyncio

from slipway.workers.turns import Turns
from tests.conditions import eventually_async


class _Crowd:
    """Tasks that each have a turn until they are told to end; `begun` are those that have had theirs."""

    def __init__(self, turns: Turns, names: str) -> None:
        self.begun: list[str] = []
        self._ends = {name: asyncio.Event() for name in names}
        self.tasks = {name: asyncio.ensure_future(self._go(turns, name)) for name in names}

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.tasks[name]
        await _settle()

    async def _go(self, turns: Turns, name: str) -> None:
        async with turns.one():
            self.begun.append(name)
            await self._ends[name].wait()


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_few_go_at_a_time_in_the_order_in_which_they_came() -> None:
    crowd = _Crowd(Turns(2, 60), "abcd")
    await _settle()
    assert crowd.begun == ["a", "b"]
    await crowd.end("b")
    assert crowd.begun == ["a", "b", "c"]
    await crowd.end("a")
    assert crowd.begun == ["a", "b", "c", "d"]
    await crowd.end("c")
    await crowd.end("d")


async def test_one_that_waits_for_something_else_makes_room_for_one_more_and_no_more() -> None:
    turns = Turns(1, 0.01)
    slow = _Crowd(turns, "abc")
    await eventually_async(lambda: _are(slow.begun, "abc"))
    for name in "abc":
        await slow.end(name)

    # Those ends gave no turn away a second time.
    turns.seconds = 60
    later = _Crowd(turns, "xy")
    await _settle()
    assert later.begun == ["x"]
    await later.end("x")
    await later.end("y")


async def test_whoever_gives_up_waiting_is_passed_over() -> None:
    crowd = _Crowd(Turns(1, 60), "abc")
    await _settle()
    crowd.tasks["b"].cancel()
    await crowd.end("a")
    assert crowd.begun == ["a", "c"]
    await crowd.end("c")


async def _are(begun: list[str], names: str) -> bool:
    return begun == list(names)
