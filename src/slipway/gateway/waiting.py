"""Calls that wait for a replica, and the memory that their bodies hold."""

from __future__ import annotations

from collections import deque

from slipway.gateway.call import Call


class Holding:
    """The bytes of bodies that wait in this gateway, of all versions, and how many may."""

    __slots__ = ("limit", "size")

    def __init__(self, limit: int) -> None:
        self.size = 0
        self.limit = limit


class WaitingLine(deque[Call]):
    """One version's calls, first come, first served. Change it by these methods only: they keep count of the bytes."""

    def __init__(self, holding: Holding) -> None:
        super().__init__()
        self._holding = holding

    def fits(self, call: Call) -> bool:
        """Whether the gateway may hold this body too."""
        return self._holding.size + len(call.body) <= self._holding.limit

    def enter(self, call: Call) -> None:
        """To the end of the line."""
        self._holding.size += len(call.body)
        self.append(call)

    def enter_first(self, call: Call) -> None:
        """To the front: it has waited already."""
        self._holding.size += len(call.body)
        self.appendleft(call)

    def bring_forward(self, call: Call) -> None:
        """To the front, past the others."""
        self.remove(call)
        self.appendleft(call)

    def leave(self, call: Call) -> None:
        """Out of the line, wherever it stands."""
        self.remove(call)
        self._holding.size -= len(call.body)

    def take(self, most: int) -> list[Call]:
        """The first of them, up to that many."""
        calls: list[Call] = []
        size = 0
        while self and len(calls) < most:
            call = self.popleft()
            size += len(call.body)
            if not call.done:
                calls.append(call)
        self._holding.size -= size
        return calls

    def take_all(self) -> list[Call]:
        """Everyone, in order."""
        return self.take(len(self))
