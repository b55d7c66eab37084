"""What the host's processes take of its memory, and whether one more fits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from slipway.types import Version
from slipway.workers.memory import available_bytes, parental_bytes, private_bytes, young_bytes

_PATIENCE_SECONDS = 0.5  # how long a start waits for memory that is being freed
_LEAST_AVAILABLE = 128 * 2**20  # what the machine itself must keep, whoever else takes of it
_AHEAD = 64  # what part of all memory is kept free where something idle can be ended for it
_MEASURED_AT_ONCE = 50  # processes for the first time
_MEASURED_AGAIN = 4  # the kernel takes up to two milliseconds for each
_FRESH_BYTES = 128 * 2**20  # what is supposed of a version that never ran: of a fresh process,
_FORKED_BYTES = 16 * 2**20  # and beyond its zygote
_ZYGOTE_BYTES = 64 * 2**20

Measure = Callable[[int], int]  # of a process id


class NoRoom(Exception):
    """Nothing more fits on this host, and nothing there can be ended for it."""


class Room:
    """Sums up what each process takes: first what is supposed of it, later what was measured.

    What workers share with the zygote or template that they were forked from is counted there: so the sum is that of
    all of them, and what one takes is what is free when it ends, however many siblings it has.

    `relieve(bytes)` is asked to end so much of what is idle; it may fail to. Keys name processes.
    """

    def __init__(self, limit_bytes: int, relieve: Callable[[int], None]) -> None:
        self.limit_bytes, self._relieve = limit_bytes, relieve
        self.taken_bytes = 0
        self._taken: dict[str, int] = {}
        self._leaving: dict[str, int] = {}  # they are killed, and not yet gone
        self._leaving_bytes = 0
        self._processes: dict[str, _Process] = {}  # those that are measured
        self._new: deque[str] = deque()  # who was never measured
        self._turns: deque[str] = deque()  # whose turn is next, of the others
        self._known: dict[str, int] = {}  # by version id, or key of a zygote: what was measured last
        self._changed = asyncio.Event()

    async def claim(self, key: str, supposed_bytes: int) -> None:
        """Count a process that is about to start. Raises NoRoom after half a second without enough."""
        if self.excess(supposed_bytes) > 0:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._make(supposed_bytes)
            except TimeoutError as error:
                raise NoRoom(self._why(supposed_bytes)) from error
        self.note(key, supposed_bytes)
        self.relieve()

    def excess(self, more_bytes: int = 0) -> int:
        """By how much everything, and so much more, is over what there is; negative where it fits."""
        return max(self.taken_bytes + more_bytes - self.limit_bytes, more_bytes + _LEAST_AVAILABLE - available_bytes())

    def relieve(self) -> None:
        """Have idle processes ended, beyond those that are ending, where little is left: the next start should not have
        to wait for that."""
        if (short := self.excess(self.limit_bytes // _AHEAD) - self._leaving_bytes) > 0:
            self._relieve(short)

    def note(self, key: str, size: int) -> None:
        """What a process takes."""
        self.taken_bytes += size - self._taken.get(key, 0)
        self._taken[key] = size

    def settled(self, key: str, pid: int, baseline_bytes: int | None = None, *, forks: bool = False) -> None:
        """It does what it was started for, such as to have others forked from it: from now on it is measured.

        `baseline_bytes`: what it was born with, where it was forked from a zygote.
        """
        if key in self._taken:
            first = partial(young_bytes, baseline=baseline_bytes) if baseline_bytes is not None else None
            self._processes[key] = _Process(pid, parental_bytes if forks else private_bytes, first)
            self._new.append(key)

    def size(self, key: str) -> int:
        """What that process takes."""
        return self._taken.get(key, 0)

    def leaving(self, key: str) -> None:
        """It is being killed: it will be gone soon."""
        if key in self._taken and key not in self._leaving:
            self._leaving[key] = self._taken[key]
            self._leaving_bytes += self._taken[key]

    def left(self, key: str) -> None:
        """It has ended."""
        self.taken_bytes -= self._taken.pop(key, 0)
        self._leaving_bytes -= self._leaving.pop(key, 0)
        self._processes.pop(key, None)
        self._changed.set()

    def supposed(self, version: Version, fresh: bool) -> int:
        """What one more replica of the version is likely to take."""
        usual = _FRESH_BYTES if fresh else _FORKED_BYTES
        return self._known.get(version.id) or version.start.memory_bytes or usual

    @property
    def usual_bytes(self) -> int:
        """What a process takes on the average."""
        return max(1, self.taken_bytes // max(1, len(self._taken)))

    def supposed_of_zygote(self, key: str) -> int:
        """The same of a zygote."""
        return self._known.get(key) or _ZYGOTE_BYTES

    async def measure(self, known_as: Callable[[str], str]) -> None:
        """Measure some processes, each in its turn. `known_as` names what a key's figure is remembered for."""
        due = []
        for line, most in ((self._turns, _MEASURED_AGAIN), (self._new, _MEASURED_AT_ONCE)):
            for _ in range(min(most, len(line))):
                key = line.popleft()
                if (process := self._processes.get(key)) is not None:
                    due.append((key, process))
                    self._turns.append(key)
        for key, size in await asyncio.to_thread(_measured, due):
            if size and key in self._processes:
                self.note(key, size)
                self._known[known_as(key)] = size

    async def _make(self, needed: int) -> None:
        while (short := self.excess(needed)) > 0:
            self._changed.clear()
            if short > self._leaving_bytes:
                self._relieve(short - self._leaving_bytes)
            await self._changed.wait()

    def _why(self, needed: int) -> str:
        mebibytes = [f"{size / 2**20:.0f} MiB" for size in (self.limit_bytes, self.taken_bytes, needed)]
        return "the host has {} for workers, {} are taken, and {} more were needed".format(*mebibytes)


@dataclass
class _Process:
    pid: int
    usual: Measure
    first: Measure | None  # how it is measured for the first time, where that can be done for less

    def measure(self) -> int:
        measure, self.first = self.first or self.usual, None
        return measure(self.pid)


def _measured(due: list[tuple[str, _Process]]) -> list[tuple[str, int]]:
    return [(key, process.measure()) for key, process in due]
