"""The one place where it is decided who may do what. Pure: no I/O, nothing looked up.

| action | who, beside an administrator |
|---|---|
| call, read, data_read | everyone with a key if the resource is public, else its owner |
| inspect, manage, publish, push, data_write, account, audit, insight | its owner |
| result | who made the call |
| admin | nobody |

An algorithm that asks on behalf of its caller may call, read and write data, and report insights, as the caller may;
and it owns its own data. What an administrator may beyond others is not for the algorithms that they call.

Where an organization is the owner, each of its members is. A key with permissions may do no more than these say.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from slipway.access.permissions import permits
from slipway.access.principals import Principal
from slipway.errors import AuthenticationError, PermissionDenied


class Action(StrEnum):
    """What can be done to a resource."""

    CALL = "call"
    RESULT = "result"  # what became of an asynchronous call
    READ = "read"  # an algorithm's description, versions and published source
    INSPECT = "inspect"  # its builds, logs and unpublished source
    MANAGE = "manage"  # create, change, compile
    PUBLISH = "publish"
    PUSH = "push"
    DATA_READ = "data_read"
    DATA_WRITE = "data_write"
    ACCOUNT = "account"  # an account's own keys and description
    AUDIT = "audit"
    INSIGHT = "insight"  # have something put on record
    ADMIN = "admin"  # what concerns the whole platform: accounts, environments, status


class Resource(msgspec.Struct, frozen=True, gc=False):
    """What it is done to. `owner` is an account's name, empty for the platform itself."""

    kind: str  # "algorithm", "version", "data", "account", "platform": for messages
    owner: str
    public: bool = False
    name: str = ""  # the algorithm's, where it is about one, or about its own data
    versions: tuple[str, ...] = ()  # the names of the version, where it is about one


PLATFORM = Resource("platform", "")

_OPEN_TO_ALL_IF_PUBLIC = frozenset((Action.CALL, Action.READ, Action.DATA_READ))
_OF_ALGORITHMS = frozenset((Action.CALL, Action.DATA_READ, Action.DATA_WRITE, Action.INSIGHT))
_NEVER_THE_OWNERS = frozenset((Action.ADMIN,))


def authorize(principal: Principal | None, action: Action, resource: Resource) -> None:
    """Return if the principal may do it.

    Raises AuthenticationError for nobody (None), PermissionDenied for somebody else.
    """
    if principal is None:
        raise AuthenticationError("authorization required: send a valid API key")
    account = principal.account
    if principal.algorithm and action in _OF_ALGORITHMS and _is_its_own_data(principal, resource):
        return
    if principal.permissions is not None and not permits(
        principal.permissions, action, account.name, resource.owner, resource.name, resource.versions
    ):
        raise PermissionDenied(
            f"{_refusal(account.name, action, resource)} with this key: its permissions leave it out"
        )
    if principal.algorithm and action not in _OF_ALGORITHMS:
        raise PermissionDenied(f"an algorithm may not {action.value.replace('_', ' ')}: it calls, and uses data")
    if (account.admin and not principal.algorithm) or (resource.public and action in _OPEN_TO_ALL_IF_PUBLIC):
        return
    if principal.owns(resource.owner) and action not in _NEVER_THE_OWNERS:
        return
    raise PermissionDenied(_refusal(account.name, action, resource))


def _is_its_own_data(principal: Principal, resource: Resource) -> bool:
    """Whoever calls an algorithm, with whatever key, it has its own data."""
    return resource.kind == "data" and principal.algorithm == f"{resource.owner}/{resource.name}"


def _refusal(name: str, action: Action, resource: Resource) -> str:
    verb = action.value.replace("_", " ")
    if resource.owner:
        return f"{name} may not {verb} this {resource.kind} of {resource.owner}"
    return f"{name} may not {verb} the {resource.kind}: an administrator's key is needed"
