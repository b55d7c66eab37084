"""Calls in flight of keys and accounts: counted where gateways forget what they have decided."""

from __future__ import annotations

import pytest

from slipway.access.principals import Principal
from slipway.errors import AuthenticationError
from slipway.gateway.admission import Admission
from slipway.gateway.directory import Directory
from slipway.gateway.usage import Usages, most, over_limit
from slipway.settings import Settings
from slipway.types import Snapshot
from tests.factories import make_account, make_algorithm, make_version

TARGET = b"/v1/algo/ann/echo"


@pytest.fixture
def admission() -> Admission:
    directory = Directory()
    version = make_version(semantic_version="0.1.0", callability="public")
    directory.apply(Snapshot(revision=1, full=True, algorithms=(make_algorithm(),), versions=(version,)))
    return Admission(directory, Settings(), "gateway-0")


def principal(key_id: str, account: str = "ann") -> Principal:
    return Principal(account=make_account(account), key_id=key_id)


def test_what_is_in_flight_stays_counted_when_keys_or_routes_change(admission: Admission) -> None:
    usage = admission.admit_child(principal("k1"), TARGET).usage
    usage.calls += 1
    usage.account.calls += 1
    admission.forget()
    assert admission.admit_child(principal("k1"), TARGET).usage is usage
    other = admission.admit_child(principal("k2"), TARGET).usage
    assert (other.calls, other.account.calls) == (0, 1)
    assert admission.admit_child(principal("k3", "bob"), TARGET).usage.account.calls == 0
    with pytest.raises(AuthenticationError):
        admission.admit(b"Simple nobody", TARGET)


def test_what_has_no_call_is_forgotten() -> None:
    usages = Usages()
    first, second = usages.of("k1", "ann"), usages.of("k2", "ann")
    assert first.account is second.account
    second.calls, second.account.calls = 1, 1
    usages.drop_unused()
    assert usages.of("k2", "ann") is second
    assert usages.of("k1", "ann") is not first
    assert usages.of("k1", "ann").account is second.account


def test_the_refusal_names_what_is_over_its_limit() -> None:
    usage = Usages().of("k1", "ann")
    usage.calls, usage.account.calls = 3, 7
    assert "3 calls of this key" in str(over_limit(usage, 3))
    assert "7 calls of this account" in str(over_limit(usage, most(0)))
