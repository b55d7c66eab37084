"""What restricted keys may do, and what belongs to members of organizations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from slipway.access.decisions import PLATFORM, Action, Authorizer, Resource
from slipway.access.permissions import is_acl_entry
from slipway.access.principals import Principal
from slipway.errors import PermissionDenied
from slipway.types import Account, Permissions

AUTHORIZER = Authorizer()

ANN = Account(id="1", name="ann", organizations=frozenset({"lab"}), created_at=0.0)
COMMIT = "a" * 40
OWN = Resource("algorithm", "ann", name="echo", versions=("1.2.3", COMMIT))
FLAGS: dict[str, set[Action]] = {
    "allow_data": {Action.DATA_READ},
    "allow_data_write": {Action.DATA_WRITE},
    "allow_algo": {Action.INSIGHT, Action.CALL, Action.RESULT, Action.READ},
    "allow_algo_management": {Action.READ, Action.INSPECT, Action.MANAGE, Action.PUBLISH, Action.PUSH},
}
EVERY: dict[str, Any] = dict.fromkeys(FLAGS, True)


def allowed(action: Action, resource: Resource, account: Account = ANN, **permissions: Any) -> bool:
    """Whether a key with these permissions may do it; without any the key is not restricted."""
    given = Permissions(**permissions) if permissions else None
    try:
        AUTHORIZER.authorize(Principal(account, "key", given), action, resource)
    except PermissionDenied:
        return False
    return True


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_allows_what_the_table_says_and_nothing_else(flag: str) -> None:
    given: dict[str, Any] = {flag: True}
    found = {action for action in Action if allowed(action, OWN, **given)}
    assert found == FLAGS[flag]


def test_an_administrators_restricted_key_is_no_administrators_key() -> None:
    admin = msgspec.structs.replace(ANN, admin=True)
    assert allowed(Action.MANAGE, Resource("algorithm", "bob"), admin, **EVERY)
    assert not allowed(Action.ADMIN, PLATFORM, admin, **EVERY)
    assert not allowed(Action.ACCOUNT, Resource("account", "ann"), admin, **EVERY)


def test_what_the_platform_tells_everyone_it_tells_restricted_keys_too() -> None:
    assert allowed(Action.READ, Resource("platform", "", public=True), allow_data=True)


@pytest.mark.parametrize(
    ("entry", "fits"),
    [
        ("algo://ann/echo/*", True),
        ("algo://ann/echo", True),
        ("algo://ann/*", True),
        ("algo://ann", True),
        ("algo://*", True),
        ("algo://*/echo/1.2.3", True),
        (f"algo://ann/echo/{COMMIT}", True),
        ("algo://.my/echo", True),
        ("algo://ann/echo/1.2.4", False),
        ("algo://ann/other/*", False),
        ("algo://bob/echo/*", False),
        ("algo://.my/other", False),
    ],
)
def test_an_acl_names_algorithms_and_versions(entry: str, fits: bool) -> None:
    assert is_acl_entry(entry)
    assert allowed(Action.CALL, OWN, allow_algo=True, algo_acl=(entry,)) is fits
    assert allowed(Action.CALL, OWN, allow_algo=True, algo_acl=("algo://x/y", entry)) is fits


def test_an_empty_acl_names_nothing() -> None:
    assert not allowed(Action.CALL, OWN, allow_algo=True, algo_acl=())


def test_permissions_give_nothing_that_the_account_may_not() -> None:
    assert not allowed(Action.CALL, Resource("algorithm", "bob", name="echo"), **EVERY)


@pytest.mark.parametrize("action", list(Action))
def test_a_member_may_do_what_the_owner_may(action: Action) -> None:
    owner = Account(id="2", name="lab", kind="organization", created_at=0.0)
    resource = Resource("algorithm", "lab", name="echo")
    assert allowed(action, resource) is allowed(action, resource, owner)
    assert not allowed(action, Resource("algorithm", "other", name="echo"))


def test_an_algorithm_has_its_own_data_whatever_the_callers_key_may() -> None:
    only_calls = Principal(ANN, "key", Permissions(allow_algo=True), algorithm="bob/echo", call_id="c")
    own, others = (Resource("data", "bob", name=name) for name in ("echo", "other"))
    for action in (Action.DATA_READ, Action.DATA_WRITE):
        AUTHORIZER.authorize(only_calls, action, own)
        with pytest.raises(PermissionDenied):
            AUTHORIZER.authorize(only_calls, action, others)
    AUTHORIZER.authorize(only_calls, Action.INSIGHT, Resource("account", "ann"))
    with pytest.raises(PermissionDenied):
        AUTHORIZER.authorize(only_calls, Action.MANAGE, own)
