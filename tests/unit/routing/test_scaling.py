"""How many replicas a version is given: the decisions, and what comes of them in a simulation."""

from __future__ import annotations

import heapq
import statistics
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.routing.scaling import Recent, needed_replicas, wanted_replicas
from slipway.types import Scaling

SCALING = Scaling(min_replicas=1, max_replicas=8, idle_seconds=60)


def decide(needed: int = 0, recently: int = 0, wanted: int = 0, idle_seconds: float = 0.0) -> int:
    scaling = Scaling(min_replicas=0, max_replicas=4, idle_seconds=60)
    return wanted_replicas(scaling, needed=needed, recently=recently, wanted=wanted, idle_seconds=idle_seconds)


def test_the_first_call_wants_a_replica() -> None:
    assert decide(needed=needed_replicas(1, 0.00002, 1), recently=1) == 1


def test_short_calls_share_one_and_long_ones_have_one_each() -> None:
    assert needed_replicas(32, 0.00002, 1) == 1
    assert needed_replicas(5, 0.005, 1) == 5
    assert needed_replicas(3, 2.0, 1) == 3
    assert needed_replicas(32, 2.0, 16) == 2


def test_there_are_never_more_than_the_maximum() -> None:
    assert decide(needed=100, recently=100, wanted=4) == 4


def test_it_goes_down_to_what_was_needed_lately_and_to_one() -> None:
    assert decide(needed=1, recently=4, wanted=4) == 4
    assert decide(needed=1, recently=2, wanted=4) == 2
    assert decide(wanted=4, idle_seconds=59) == 1


def test_idleness_returns_to_the_minimum() -> None:
    assert decide(wanted=3, idle_seconds=61) == 0


def test_what_was_needed_is_forgotten_after_30_to_60_seconds() -> None:
    recent = Recent()
    assert recent.note(5, 100.0) == 5
    assert recent.note(1, 129.0) == 5
    assert recent.note(1, 131.0) == 5
    assert recent.note(1, 162.0) == 1
    assert recent.note(0, 1000.0) == 0


@dataclass
class Simulation:
    """An open loop of calls of equal length, on replicas that take a while to start; times in seconds."""

    rate: float
    service: float
    start: float = 0.01
    wanted: int = 1
    changes: int = 0
    free: list[float] = field(default_factory=lambda: [0.0])  # when each replica is free again
    waits: list[float] = field(default_factory=list)
    _recent: Recent = field(default_factory=Recent)
    _ends: list[float] = field(default_factory=list)

    def run(self, began: float, seconds: float) -> None:
        """Calls at the rate, one after the other to the replica that is free first."""
        for number in range(int(self.rate * seconds)):
            now = began + number / self.rate
            while self._ends and self._ends[0] <= now:
                heapq.heappop(self._ends)
            begins = max(now, min(self.free))
            self.free[self.free.index(min(self.free))] = begins + self.service
            heapq.heappush(self._ends, begins + self.service)
            self.waits.append(begins - now)
            self._scale(now)

    def _scale(self, now: float) -> None:
        needed = needed_replicas(len(self._ends), self.service, 1)
        recently = self._recent.note(needed, now)
        wanted = wanted_replicas(SCALING, needed=needed, recently=recently, wanted=self.wanted, idle_seconds=0)
        if wanted != self.wanted:
            self.changes += 1
            self.wanted = wanted
        self.free += [now + self.start] * (wanted - len(self.free))
        self.free = sorted(self.free)[-wanted:]


def test_a_burst_from_one_call_a_second_to_a_thousand_waits_a_moment() -> None:
    burst = Simulation(rate=1000, service=0.005)
    burst.run(0.0, 30.0)
    assert statistics.quantiles(burst.waits, n=100)[98] < 0.005
    assert max(burst.waits) < 0.05


@settings(deadline=None, max_examples=50)
@given(st.floats(1, 2000), st.floats(0.0001, 0.5))
def test_a_steady_load_that_fits_is_served_and_the_number_settles(rate: float, service: float) -> None:
    steady = Simulation(rate=rate, service=service)
    steady.run(0.0, 5.0)
    assert 1 <= steady.wanted <= SCALING.max_replicas
    first = steady.changes
    steady.run(5.0, 5.0)
    assert steady.changes - first <= SCALING.max_replicas  # it only grows: nothing is given back within 30 s
    if rate * service < 6:
        late = steady.waits[len(steady.waits) // 2 :]
        assert statistics.fmean(late or [0.0]) <= max(0.02, 2 * service)
