"""Read ACLs, and what an algorithm may do on behalf of its caller."""

from __future__ import annotations

import pytest

from slipway.access.acl import DEFAULT, EVERYONE, admits, parse_acl
from slipway.access.decisions import PLATFORM, Action, Authorizer, Resource
from slipway.access.principals import Principal
from slipway.errors import InputError, PermissionDenied
from slipway.types import Account

AUTHORIZER = Authorizer()

EVE = Account(id="1", name="eve", created_at=0.0)


def principal(algorithm: str = "") -> Principal:
    """Eve, or an algorithm that she calls."""
    return Principal(account=EVE, key_id="k", algorithm=algorithm)


@pytest.mark.parametrize(
    ("acl", "algorithm", "admitted"),
    [
        ((), "", False),
        ((), "ann/echo", False),
        (DEFAULT, "", False),
        (DEFAULT, "ann/echo", True),
        (DEFAULT, "bob/echo", False),
        (("algo://bob/echo",), "bob/echo", True),
        (("algo://bob/echo",), "bob/other", False),
        (("algo://bob/*",), "bob/other", True),
        (("algo://bob/other", "algo://bob/echo"), "bob/echo", True),
        ((EVERYONE,), "", True),
    ],
)
def test_an_acl_admits_whom_it_names(acl: tuple[str, ...], algorithm: str, admitted: bool) -> None:
    assert admits(acl, "ann", principal(algorithm)) is admitted


@pytest.mark.parametrize("entries", ["user://*", ["user://eve"], ["algo://ann"], ["algo://ann/a/b"], [None]])
def test_what_is_no_acl_is_refused(entries: object) -> None:
    with pytest.raises(InputError):
        parse_acl(entries)


def test_an_algorithm_does_for_its_caller_what_calls_and_data_need_and_no_more() -> None:
    running = principal("ann/echo")
    AUTHORIZER.authorize(running, Action.CALL, Resource("algorithm", "eve"))
    AUTHORIZER.authorize(running, Action.DATA_WRITE, Resource("data", "eve"))
    for action in (Action.MANAGE, Action.ACCOUNT, Action.PUBLISH, Action.AUDIT):
        with pytest.raises(PermissionDenied):
            AUTHORIZER.authorize(running, action, Resource("algorithm", "eve"))


def test_what_an_administrator_may_is_not_for_the_algorithms_that_they_call() -> None:
    root = Account(id="2", name="root", admin=True, created_at=0.0)
    called = Principal(account=root, key_id="", algorithm="ann/echo")
    for action, resource in ((Action.ADMIN, PLATFORM), (Action.DATA_READ, Resource("data", "eve"))):
        with pytest.raises(PermissionDenied):
            AUTHORIZER.authorize(called, action, resource)


def test_an_algorithm_has_data_of_its_own_whoever_calls_it() -> None:
    AUTHORIZER.authorize(principal("ann/echo"), Action.DATA_WRITE, Resource("data", "ann", name="echo"))
    for algorithm in ("ann/other", "bob/echo", ""):
        with pytest.raises(PermissionDenied):
            AUTHORIZER.authorize(principal(algorithm), Action.DATA_WRITE, Resource("data", "ann", name="echo"))
