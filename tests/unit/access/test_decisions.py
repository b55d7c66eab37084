"""Every role, every action and every kind of resource, in all combinations."""

from __future__ import annotations

import itertools

import pytest

from slipway.access.decisions import PLATFORM, Action, Authorizer, Resource
from slipway.access.principals import Principal
from slipway.errors import AuthenticationError, PermissionDenied
from slipway.types import Account

AUTHORIZER = Authorizer()


def _principal(name: str, *, admin: bool = False) -> Principal:
    return Principal(Account(id=name, name=name, admin=admin, created_at=0.0), "key")


ROLES = {
    "nobody": None,
    "owner": _principal("jpublic"),
    "stranger": _principal("mallory"),
    "administrator": _principal("admin", admin=True),
}
RESOURCES = {
    "private": Resource("algorithm", "jpublic"),
    "public": Resource("algorithm", "jpublic", public=True),
    "platform": PLATFORM,
}
OPEN_IF_PUBLIC = {Action.CALL, Action.READ, Action.DATA_READ}
ALL = set(Action)

# Nobody may do anything; what is not listed is refused.
ALLOWED: dict[tuple[str, str], set[Action]] = {
    ("owner", "private"): ALL - {Action.ADMIN, Action.SECRET},
    ("owner", "public"): ALL - {Action.ADMIN, Action.SECRET},
    ("stranger", "public"): OPEN_IF_PUBLIC,
    ("administrator", "private"): ALL - {Action.SECRET},
    ("administrator", "public"): ALL - {Action.SECRET},
    ("administrator", "platform"): ALL - {Action.SECRET},
}


@pytest.mark.parametrize(("role", "action", "resource"), list(itertools.product(ROLES, Action, RESOURCES)))
def test_the_table_of_permissions_holds(role: str, action: Action, resource: str) -> None:
    principal = ROLES[role]
    if action in ALLOWED.get((role, resource), set()):
        AUTHORIZER.authorize(principal, action, RESOURCES[resource])
        return
    with pytest.raises(AuthenticationError if principal is None else PermissionDenied):
        AUTHORIZER.authorize(principal, action, RESOURCES[resource])


def test_a_refusal_names_who_what_and_whose() -> None:
    with pytest.raises(PermissionDenied, match="mallory may not data write this algorithm of jpublic"):
        AUTHORIZER.authorize(ROLES["stranger"], Action.DATA_WRITE, RESOURCES["private"])


def test_a_refusal_about_the_platform_says_whose_key_is_needed() -> None:
    with pytest.raises(PermissionDenied, match="administrator"):
        AUTHORIZER.authorize(ROLES["owner"], Action.ADMIN, PLATFORM)
