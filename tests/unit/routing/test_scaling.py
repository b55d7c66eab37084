"""How many replicas a version is given: the decisions, and what comes of them in a simulation."""

from __future__ import annotations

import statistics

from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.routing.reservations import Reserved
from slipway.routing.scaling import Recent, fewest_replicas, most_replicas, needed_replicas, wanted_replicas
from slipway.types import Scaling
from tests.unit.routing.simulation import Simulation

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


def test_reservations_for_everyone_are_a_minimum_and_those_for_callers_come_on_top() -> None:
    scaling = Scaling(min_replicas=1, max_replicas=4)
    reserved = Reserved(everyone=3, callers={"ann": 2, "bob": 1})
    assert (fewest_replicas(scaling, reserved), most_replicas(scaling, reserved)) == (6, 7)
    assert most_replicas(scaling, Reserved(everyone=9)) == 9


def test_what_is_loading_is_not_given_up_even_when_nobody_calls_any_more() -> None:
    scaling = Scaling(max_replicas=8, idle_seconds=60)
    assert wanted_replicas(scaling, needed=0, recently=0, wanted=8, idle_seconds=100, loading=3) == 3


counts = st.integers(0, 50)
scalings = st.builds(
    lambda least, more, idle: Scaling(min_replicas=least, max_replicas=max(1, least + more), idle_seconds=idle),
    st.integers(0, 10),
    st.integers(0, 20),
    st.floats(0.1, 600),
)
all_reserved = st.builds(
    Reserved, everyone=st.integers(0, 10), callers=st.dictionaries(st.sampled_from("ab"), st.integers(1, 5))
)


@given(scalings, all_reserved, counts, counts, counts, counts, counts, st.floats(0, 1000))
def test_the_number_is_between_fewest_and_most_enough_and_grows_with_the_load(
    scaling: Scaling, reserved: Reserved, needed: int, more: int, recently: int, wanted: int, loading: int, idle: float
) -> None:
    def decide(needed: int) -> int:
        return wanted_replicas(
            scaling,
            needed=needed,
            recently=recently,
            wanted=wanted,
            idle_seconds=idle,
            loading=loading,
            reserved=reserved,
        )

    most = most_replicas(scaling, reserved)
    assert fewest_replicas(scaling, reserved) <= decide(needed) <= most
    assert decide(needed) >= min(most, max(needed, loading))
    assert decide(needed) <= decide(needed + more)


@given(counts, counts, st.floats(0, 100), st.integers(1, 32))
def test_what_is_needed_grows_with_the_calls_and_is_never_more_than_one_for_each(
    calls: int, more: int, service: float, concurrency: int
) -> None:
    needed = needed_replicas(calls, service, concurrency)
    assert 0 <= needed <= calls
    assert needed <= needed_replicas(calls + more, service, concurrency)


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 12)), min_size=1, max_size=40))
def test_it_falls_no_further_than_what_was_needed_in_the_last_half_minute(steps: list[tuple[float, int]]) -> None:
    now, wanted, recent = 0.0, 0, Recent()
    needs: list[tuple[float, int]] = []
    for pause, needed in steps:
        now += pause
        needs.append((now, needed))
        recently = recent.note(needed, now)
        wanted = wanted_replicas(SCALING, needed=needed, recently=recently, wanted=wanted, idle_seconds=0)
        lately = max(need for when, need in needs if now - when < 30)
        before = max(need for when, need in needs if now - when <= 90)  # 60 where it is asked every second
        assert min(8, max(1, lately)) <= wanted <= min(8, max(1, before))


def test_a_step_to_a_thousand_calls_a_second_and_back() -> None:
    simulation = Simulation(SCALING, service=0.005)
    simulation.load(rate=1, seconds=20)
    assert simulation.wanted == 1
    simulation.load(rate=1000, seconds=30)
    burst = simulation.waits[20:]
    assert len(burst) == 30_000
    assert statistics.quantiles(burst, n=100)[98] < 0.015
    assert max(burst) < 0.1
    assert simulation.wanted >= 5  # 1,000 calls/s of 5 ms, by Little's law
    assert [level for _, level in simulation.levels] == sorted(level for _, level in simulation.levels)
    simulation.load(rate=1, seconds=29)
    assert simulation.level(since=50)[0] >= 5  # another burst would find them
    simulation.load(rate=1, seconds=60)
    assert simulation.wanted == 1


def test_after_the_last_call_it_goes_back_to_none() -> None:
    simulation = Simulation(Scaling(max_replicas=8, idle_seconds=60), service=0.005)
    simulation.load(rate=1000, seconds=1)
    assert simulation.wanted >= 5
    simulation.load(rate=0, seconds=59)
    assert simulation.wanted >= 1
    simulation.load(rate=0, seconds=2)
    assert simulation.wanted == 0


@settings(deadline=None, max_examples=30)
@given(st.floats(1, 1000), st.floats(0.0001, 0.5))
def test_a_steady_load_that_fits_is_served_and_the_number_settles(rate: float, service: float) -> None:
    steady = Simulation(SCALING, service)
    steady.load(rate, 3.0)
    first, changes = len(steady.waits), len(steady.levels)
    steady.load(rate, 3.0)
    assert 1 <= steady.wanted <= SCALING.max_replicas
    assert len(steady.levels) - changes <= SCALING.max_replicas  # it only grows: nothing is given back within 30 s
    if rate * service < 6:
        assert statistics.fmean(steady.waits[first:] or [0.0]) <= max(0.02, 2 * service)
