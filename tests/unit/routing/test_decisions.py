from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.routing.balance import emptiest
from slipway.routing.batching import ripe
from slipway.routing.ownership import owner_of
from slipway.routing.reservations import NOTHING, Reserved, held_back, resolved
from slipway.routing.retry import may_try_again
from slipway.routing.sendahead import window
from slipway.routing.table import RouteTable
from slipway.types import Arm, Reservation, Route, Snapshot
from tests.factories import make_algorithm, make_version

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


@dataclass(frozen=True)
class Replica:
    room: int


@given(st.lists(st.builds(Replica, st.integers(-5, 20))))
def test_a_call_goes_to_the_emptiest_replica_and_never_to_a_full_one(replicas: list[Replica]) -> None:
    found = emptiest(replicas)
    most = max((replica.room for replica in replicas), default=0)
    if most <= 0:
        assert found is None
    else:
        assert found is next(replica for replica in replicas if replica.room == most)


@given(st.integers(0, 40), st.floats(0, 10), st.integers(1, 32), st.floats(0.001, 10))
def test_a_batch_is_ripe_when_it_is_whole_or_its_oldest_has_waited(
    waiting: int, waited: float, most: int, delay: float
) -> None:
    assert ripe(waiting, waited, most, delay) == (waiting >= most or (waiting > 0 and waited >= delay))
    assert ripe(waiting, waited, most, 0.0) or not waiting


@pytest.mark.parametrize("retried", [False, True])
@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("called_others", [False, True])
def test_a_lost_call_is_tried_again_once_and_after_accepted_only_where_that_does_no_harm(
    retried: bool, idempotent: bool, called_others: bool
) -> None:
    def again(accepted: bool) -> bool:
        return may_try_again(
            accepted=accepted, retried=retried, idempotent=idempotent, called_others=called_others and accepted
        )

    assert again(accepted=False) is not retried
    assert again(accepted=True) is (idempotent and not retried and not called_others)


accounts = st.dictionaries(st.sampled_from("abc"), st.integers(0, 5))


@given(accounts, accounts, st.sampled_from("abcd"))
def test_a_caller_leaves_others_what_they_have_reserved_and_do_not_use(
    reserved: dict[str, int], running: dict[str, int], caller: str
) -> None:
    own = max(0, reserved.get(caller, 0) - running.get(caller, 0))
    assert held_back(reserved, running, caller) + own == held_back(reserved, running)
    assert 0 <= held_back(reserved, running, caller) <= sum(reserved.values())


def a_reservation(identity: str, slots: int, **changes: str) -> Reservation:
    values = {"calling_user": "", "version_type": "latest", "version_identifier": "", **changes}
    return Reservation(
        id=identity,
        algorithm_id="algorithm-1",
        owner="ann",
        algorithm="echo",
        num_slots=slots,
        created_at=1.0,
        **values,
    )


def test_reservations_follow_the_routes_and_add_up() -> None:
    table = RouteTable()
    old = make_version(id="old", semantic_version="0.1.0", callability="public")
    new = make_version(id="new", commit="b" * 40, semantic_version="0.2.0", callability="private")
    table.apply(Snapshot(revision=1, full=True, algorithms=(make_algorithm(),), versions=(old, new)))
    table.apply(Snapshot(revision=2, routes=(Route(algorithm_id="algorithm-1", arms=(Arm(version_id="old"),)),)))
    reservations = [
        a_reservation("1", 2),
        a_reservation("2", 1, calling_user="bob"),
        a_reservation("3", 3, calling_user="bob", version_type="exact", version_identifier="0.1.0"),
        a_reservation("4", 1, version_type="latestPrivate"),
        a_reservation("5", 9, version_type="exact", version_identifier="9.9.9"),
    ]
    assert resolved(reservations, table) == {
        "old": Reserved(everyone=2, callers={"bob": 4}),
        "new": Reserved(everyone=1),
    }
    table.apply(Snapshot(revision=3, routes=(Route(algorithm_id="algorithm-1", arms=(Arm(version_id="new"),)),)))
    assert resolved(reservations, table) == {
        "old": Reserved(callers={"bob": 3}),
        "new": Reserved(everyone=3, callers={"bob": 1}),
    }
    table.apply(Snapshot(revision=4, removed=(("algorithm", "algorithm-1"),)))
    assert resolved(reservations, table) == {}
    assert NOTHING == Reserved()
