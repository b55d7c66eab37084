from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slipway.routing.ownership import owner_of
from slipway.routing.scaling import wanted_replicas
from slipway.routing.sendahead import window
from slipway.types import Scaling

names = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=6)


@given(names, st.text())
def test_every_process_computes_the_same_owner(gateways: set[str], version: str) -> None:
    assert owner_of(version, sorted(gateways)) == owner_of(version, sorted(gateways, reverse=True))


@given(names, st.text())
def test_only_the_versions_of_a_gateway_that_leaves_move(gateways: set[str], version: str) -> None:
    owner = owner_of(version, gateways)
    for leaving in gateways - {owner}:
        assert owner_of(version, gateways - {leaving}) == owner


def test_no_gateway_owns_nothing() -> None:
    assert owner_of("v", []) is None


@given(st.floats(0, 10), st.integers(1, 32), st.integers(1, 64))
def test_the_window_stays_between_one_and_the_credit(service: float, concurrency: int, credit: int) -> None:
    assert 1 <= window(service, concurrency, credit) <= credit


def test_short_calls_are_sent_ahead_and_long_ones_are_not() -> None:
    assert window(0.00002, 1, 16) == 16
    assert window(0.005, 1, 16) == 1


def decide(**changes: float) -> int:
    values: dict[str, float] = {
        "waiting": 0,
        "oldest_wait_seconds": 0.0,
        "ready": 0,
        "wanted": 0,
        "idle_seconds": 0.0,
        **changes,
    }
    return wanted_replicas(Scaling(min_replicas=0, max_replicas=4, idle_seconds=60), **values)  # type: ignore[arg-type]


def test_the_first_waiting_call_starts_a_replica() -> None:
    assert decide(waiting=1) == 1


def test_no_second_replica_is_asked_for_while_the_first_one_loads() -> None:
    assert decide(waiting=100, oldest_wait_seconds=5, wanted=1, ready=0) == 1


def test_a_long_wait_adds_one_up_to_the_maximum() -> None:
    assert decide(waiting=5, oldest_wait_seconds=0.1, wanted=1, ready=1) == 2
    assert decide(waiting=5, oldest_wait_seconds=0.1, wanted=4, ready=4) == 4


def test_a_short_wait_adds_none() -> None:
    assert decide(waiting=5, oldest_wait_seconds=0.01, wanted=1, ready=1) == 1


def test_idleness_returns_to_the_minimum() -> None:
    assert decide(wanted=3, ready=3, idle_seconds=61) == 0
    assert decide(wanted=3, ready=3, idle_seconds=59) == 3
