"""The one place that decides. Pure: no clock, no store; called for every route, git operation and call."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from slipway.access.principals import Principal
from slipway.errors import AuthenticationError, PermissionDenied


class Action(StrEnum):
    """What can be asked for."""

    CALL = "call"
    READ = "read"  # an algorithm's description, versions and published source
    INSPECT = "inspect"  # its builds, logs and unpublished source
    MANAGE = "manage"  # create, change, compile
    PUBLISH = "publish"
    PUSH = "push"
    DATA_READ = "data_read"
    DATA_WRITE = "data_write"
    ACCOUNT = "account"  # an account's own keys and description
    AUDIT = "audit"
    ADMINISTER = "administer"  # the platform itself: accounts, environments, status


class Resource(msgspec.Struct, frozen=True):
    """What is asked about: its kind, the account that owns it, and whether everyone may use it."""

    kind: str
    owner: str
    public: bool = False


PLATFORM = Resource("platform", "")

# What an account may do with what is not its own, where that is public.
_PUBLIC = frozenset({Action.CALL, Action.READ, Action.DATA_READ})


def authorize(principal: Principal | None, action: Action, resource: Resource) -> None:
    """Return if the principal may; raises AuthenticationError without one, PermissionDenied where it may not.

    The admin may do everything; an owner everything with what is theirs; everyone may call and read what is public.
    """
    if principal is None:
        raise AuthenticationError("an API key is needed")
    account = principal.account
    if account.admin:
        return
    if action is not Action.ADMINISTER and resource.owner == account.name:
        return
    if resource.public and action in _PUBLIC:
        return
    raise PermissionDenied(f"{account.name} may not {action} {resource.kind} of {resource.owner or 'the platform'}")
