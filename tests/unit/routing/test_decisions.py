from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slipway.routing.ownership import owner_of
from slipway.routing.sendahead import window

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
