"""Organizations' own policies beside the platform's: what they can add, and what they cannot."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.access.decisions import PLATFORM, Action, Authorizer, Resource
from slipway.access.policies import check_policies
from slipway.access.principals import Principal
from slipway.errors import InputError, PermissionDenied
from slipway.types import Account, Permissions

MODEL = Resource("algorithm", "acme", name="model", versions=("1.0.0",))
ROLES: dict[str, set[Action]] = {
    "publisher": set(Action) - {Action.ACCOUNT, Action.AUDIT, Action.USAGE, Action.ADMIN, Action.SECRET},
    "developer": set(Action)
    - {Action.ACCOUNT, Action.AUDIT, Action.USAGE, Action.ADMIN, Action.SECRET, Action.PUBLISH},
    "caller": {Action.CALL, Action.READ, Action.DATA_READ},
    "auditor": {Action.READ, Action.INSPECT, Action.AUDIT},
    "billing": {Action.USAGE},
}


def person(name: str, *roles: str, **more: object) -> Principal:
    """Somebody with these roles, `organization/role`."""
    account = Account(id=name, name=name, roles=frozenset(roles), created_at=0.0)
    return Principal(account=account, key_id=f"key of {name}", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", list(Action))
def test_a_role_may_do_its_part_in_its_organization_and_nothing_elsewhere(role: str, action: Action) -> None:
    member = person("ann", f"acme/{role}")
    authorizer = Authorizer()

    assert authorizer.decide(member, action, MODEL).allowed is (action in ROLES[role])
    for elsewhere in (Resource("algorithm", "other", name="model"), Resource("algorithm", "ann/acme"), PLATFORM):
        assert not authorizer.decide(member, action, elsewhere).allowed


def test_an_organization_can_permit_more_and_forbid_for_what_it_owns() -> None:
    authorizer = Authorizer()
    ann, bob = person("ann"), person("bob", "acme/caller")
    text = """
        @id("ann-may-call")
        permit (principal == Account::"ann", action == Action::"call", resource is Algorithm)
        when { resource has algorithm && resource.algorithm == "acme/model" };
        @id("not-the-first")
        forbid (principal, action == Action::"call", resource) when { resource.versions.contains("0.1.0") };
    """
    authorizer.book.put("acme", text)
    old = Resource("algorithm", "acme", name="model", versions=("0.1.0",))

    assert authorizer.decide(ann, Action.CALL, MODEL).policies == ("ann-may-call",)
    assert not authorizer.decide(ann, Action.READ, MODEL).allowed
    assert not authorizer.decide(ann, Action.CALL, Resource("algorithm", "other", name="model")).allowed
    with pytest.raises(PermissionDenied, match=r"bob may not call .* policies of acme forbid it \(not-the-first\)"):
        authorizer.authorize(bob, Action.CALL, old)
    authorizer.book.drop("acme")
    assert authorizer.decide(bob, Action.CALL, old).allowed
    assert not authorizer.decide(ann, Action.CALL, MODEL).allowed


def test_an_organization_cannot_lift_what_the_platform_forbids() -> None:
    authorizer = Authorizer()
    authorizer.book.put("acme", "permit (principal, action, resource);")
    restricted = person("ann", permissions=Permissions(allow_data=True))
    through = person("ann", algorithm="bob/tool")

    assert not authorizer.decide(restricted, Action.CALL, MODEL).allowed
    assert not authorizer.decide(through, Action.MANAGE, MODEL).allowed
    assert not authorizer.decide(person("ann"), Action.ADMIN, PLATFORM).allowed
    assert authorizer.decide(person("ann"), Action.CALL, MODEL).allowed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("permit (principal, action, resource)", "cannot be read|wrong"),
        ('permit (principal, action == Action::"fly", resource);', "fly"),
        ("permit (principal, action, resource) when { resource.color == 1 };", "color"),
        ('permit (principal == User::"ann", action, resource);', "User"),
        ("x" * 300_000, "262144 characters"),
    ],
)
def test_policies_that_are_wrong_are_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_policies(text)


@given(st.one_of(st.text(), st.text('permitforbidwhenunless(){}principalactionresource,;"&|=<>@:. \n')))
def test_any_text_is_taken_or_refused_with_a_reason(text: str) -> None:
    with contextlib.suppress(InputError):
        check_policies(text)


def test_a_change_of_policies_is_not_hidden_by_what_is_remembered() -> None:
    authorizer = Authorizer()
    ann = person("ann")
    assert not authorizer.decide(ann, Action.CALL, MODEL).allowed
    authorizer.book.put("acme", "permit (principal, action, resource);")
    assert authorizer.decide(ann, Action.CALL, MODEL).allowed
