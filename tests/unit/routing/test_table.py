from __future__ import annotations

import pytest

from slipway.errors import NoSuchAlgorithm, NoSuchVersion
from slipway.routing.table import RouteTable
from slipway.types import Arm, Route, Snapshot
from tests.factories import make_algorithm, make_version

ONE = make_version(id="1", commit="1" * 40, semantic_version="0.1.0", callability="public")
TWO = make_version(id="2", commit="2" * 40, semantic_version="0.2.0", callability="public")
TEN = make_version(id="3", commit="3" * 40, semantic_version="0.10.0", callability="private")
NEW = make_version(id="4", commit="4" * 40)


@pytest.fixture
def table() -> RouteTable:
    table = RouteTable()
    table.apply(Snapshot(revision=1, full=True, algorithms=(make_algorithm(),), versions=(ONE, TWO, TEN, NEW)))
    return table


@pytest.mark.parametrize(
    ("selector", "private", "expected"),
    [
        ("", False, TWO),
        ("latest", True, TWO),
        ("latestPrivate", True, TEN),
        ("0.1.0", False, ONE),
        ("0.10.0", True, TEN),
        ("0.1", False, ONE),
        ("0.2.*", False, TWO),
        ("0.*", False, TWO),
        ("4" * 40, True, NEW),
    ],
)
def test_resolves_every_kind_of_selector(table: RouteTable, selector: str, private: bool, expected: object) -> None:
    assert table.resolve("ann", "echo", selector, private) == expected


@pytest.mark.parametrize("selector", ["9.9.9", "latestPrivate", "5" * 40, "nonsense", "0.1.0.0", "*"])
def test_an_unknown_version_is_no_such_version(table: RouteTable, selector: str) -> None:
    with pytest.raises(NoSuchVersion):
        table.resolve("ann", "echo", selector, private=False)


def test_an_unknown_algorithm_is_no_such_algorithm(table: RouteTable) -> None:
    with pytest.raises(NoSuchAlgorithm):
        table.resolve("ann", "other", "", private=True)


def test_a_route_decides_what_latest_means(table: RouteTable) -> None:
    table.apply(Snapshot(revision=2, routes=(Route(algorithm_id="algorithm-1", arms=(Arm(version_id="1"),)),)))

    assert table.resolve("ann", "echo", "latest", private=False) == ONE


def test_the_owner_of_private_versions_only_gets_the_newest_of_them() -> None:
    table = RouteTable()
    table.apply(Snapshot(revision=1, full=True, algorithms=(make_algorithm(),), versions=(TEN,)))

    assert table.resolve("ann", "echo", "", private=True) == TEN
    with pytest.raises(NoSuchVersion):
        table.resolve("ann", "echo", "", private=False)


def test_what_is_removed_is_gone(table: RouteTable) -> None:
    table.apply(Snapshot(revision=2, removed=(("version", "2"),)))
    assert table.resolve("ann", "echo", "", private=False) == ONE

    table.apply(Snapshot(revision=3, removed=(("algorithm", "algorithm-1"),)))
    with pytest.raises(NoSuchAlgorithm):
        table.resolve("ann", "echo", "", private=False)


def test_a_full_snapshot_replaces_everything(table: RouteTable) -> None:
    table.apply(Snapshot(revision=9, full=True))

    with pytest.raises(NoSuchAlgorithm):
        table.resolve("ann", "echo", "", private=True)
