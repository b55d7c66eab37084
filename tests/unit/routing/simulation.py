"""One version under load, event by event in simulated time; every decision is `slipway.routing`'s. Times in seconds."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from slipway.routing.balance import emptiest
from slipway.routing.scaling import Recent, needed_replicas, wanted_replicas
from slipway.routing.sendahead import window
from slipway.types import Scaling

_SWEEP = 0.05


@dataclass(eq=False)
class Replica:
    """Works on one call at a time."""

    size: int
    calls: deque[float] = field(default_factory=deque)  # when they arrived

    @property
    def room(self) -> int:
        """As of a replica in the gateway."""
        return self.size - len(self.calls)


class Simulation:
    """Calls of equal length at a rate that changes, on replicas that take a while to start."""

    def __init__(self, scaling: Scaling, service: float, start: float = 0.03) -> None:
        self.now = 0.0
        self.wanted = self.loading = 0
        self.levels: list[tuple[float, int]] = []  # what was wanted, whenever that changed
        self.waits: list[float] = []  # between arrival and begin
        self._scaling, self._service, self._start = scaling, service, start
        self._replicas: list[Replica] = []
        self._waiting: deque[float] = deque()
        self._recent = Recent()
        self._last_call = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._at(0.0, self._sweep)

    def load(self, rate: float, seconds: float) -> None:
        """Calls at that rate from now on, and all that happens meanwhile."""
        until = self.now + seconds
        for number in range(int(rate * seconds)):
            self._at(self.now + number / rate, self._arrive)
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = until

    def level(self, since: float = 0.0) -> tuple[int, int]:
        """The fewest and the most that were wanted since then."""
        before = [wanted for when, wanted in self.levels if when <= since][-1:]
        found = before + [wanted for when, wanted in self.levels if when > since]
        return min(found), max(found)

    def _at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), action))

    def _arrive(self) -> None:
        self._last_call = self.now
        replica = emptiest(self._replicas) if not self._waiting else None
        if replica is not None:
            self._send(replica, self.now)
            return
        self._waiting.append(self.now)
        self._rescale()

    def _send(self, replica: Replica, arrived: float) -> None:
        replica.calls.append(arrived)
        if len(replica.calls) == 1:
            self._begin(replica)

    def _begin(self, replica: Replica) -> None:
        self.waits.append(self.now - replica.calls[0])
        self._at(self.now + self._service, lambda: self._end(replica))

    def _end(self, replica: Replica) -> None:
        replica.calls.popleft()
        if replica.calls:
            self._begin(replica)
        self._fill(replica)

    def _fill(self, replica: Replica) -> None:
        while self._waiting and replica.room > 0:
            self._send(replica, self._waiting.popleft())

    def _ready(self) -> None:
        self.loading -= 1
        replica = Replica(window(self._service, 1, 16))
        self._replicas.append(replica)
        self._fill(replica)

    def _sweep(self) -> None:
        self._at(self.now + _SWEEP, self._sweep)
        self._rescale()
        idle = [replica for replica in self._replicas if not replica.calls]
        for replica in idle[: max(0, len(self._replicas) - self.wanted)]:
            self._replicas.remove(replica)

    def _rescale(self) -> None:
        at_work = sum(len(replica.calls) for replica in self._replicas)
        needed = needed_replicas(len(self._waiting) + at_work, self._service, 1)
        wanted = wanted_replicas(
            self._scaling,
            needed=needed,
            recently=self._recent.note(needed, self.now),
            wanted=self.wanted,
            idle_seconds=0.0 if at_work or self._waiting else self.now - self._last_call,
            loading=self.loading,
        )
        if wanted != self.wanted:
            self.levels.append((self.now, wanted))
            self.wanted = wanted
        for _ in range(wanted - len(self._replicas) - self.loading):
            self.loading += 1
            self._at(self.now + self._start, self._ready)
