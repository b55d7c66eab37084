"""The one place where it is decided who may do what: it asks the policies, and remembers what they said.

| action | who, beside an administrator |
|---|---|
| call, read, data_read | everyone with a key if the resource is public, else its owner |
| inspect, manage, publish, push, data_write, account, audit, usage, insight | its owner |
| result | who made the call |
| secret | nobody, an administrator neither: only the algorithm itself |
| admin | nobody |

An algorithm that asks on behalf of its caller may call, read and write data, and report insights, as the caller may;
and it owns its own data. What an administrator may beyond others is not for the algorithms that they call.

Where an organization is the owner, each of its members is; those in a role may do a part of it (`platform.cedar` has
the list). A key with permissions may do no more than these say. An organization's own policies can add to that, for
what it owns.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from slipway.access.permissions import permits
from slipway.access.policies import Decision, PolicyBook, Question
from slipway.access.principals import Principal
from slipway.errors import AuthenticationError, PermissionDenied

_REMEMBERED = 50_000


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
    USAGE = "usage"  # what was used, and what it costs
    SECRET = "secret"  # noqa: S105 - learn the secrets of an algorithm: only it itself may
    INSIGHT = "insight"  # have something put on record
    ADMIN = "admin"  # what concerns the whole platform: accounts, environments, status


class Resource(msgspec.Struct, frozen=True, gc=False):
    """What it is done to. `owner` is an account's name, empty for the platform itself."""

    kind: str  # "algorithm", "version", "repository", "data", "request", "account", "organization", "platform"
    owner: str
    public: bool = False
    name: str = ""  # the algorithm's, where it is about one, or about its own data
    versions: tuple[str, ...] = ()  # the names of the version, where it is about one


PLATFORM = Resource("platform", "")


class Authorizer:
    """Decides, by the policies in its book; the same question is put to them once a revision."""

    def __init__(self) -> None:
        self.book = PolicyBook()
        self._revision = self.book.revision
        self._remembered: dict[tuple[Principal, Action, Resource], Decision] = {}

    def authorize(self, principal: Principal | None, action: Action, resource: Resource) -> None:
        """Return if the principal may do it.

        Raises AuthenticationError for nobody (None), PermissionDenied for somebody else.
        """
        if principal is None:
            raise AuthenticationError("authorization required: send a valid API key")
        decision = self.decide(principal, action, resource)
        if not decision.allowed:
            raise PermissionDenied(_refusal(principal, action, resource, decision))

    def decide(self, principal: Principal, action: Action, resource: Resource) -> Decision:
        """Whether it may, and by which policies."""
        if self._revision != self.book.revision or len(self._remembered) > _REMEMBERED:
            self._remembered.clear()
            self._revision = self.book.revision
        asked = (principal, action, resource)
        decision = self._remembered.get(asked)
        if decision is None:
            decision = self._remembered[asked] = self.book.decide(question(*asked))
        return decision


def question(principal: Principal, action: Action, resource: Resource) -> Question:
    """The same in the policies' words."""
    account, permissions = principal.account, principal.permissions
    return Question(
        account=account.name,
        admin=account.admin,
        organizations=account.organizations,
        roles=account.roles,
        key=principal.key_id,
        key_permits=permissions is None
        or permits(permissions, action, account.name, resource.owner, resource.name, resource.versions),
        through=principal.algorithm,
        action=action.value,
        kind=resource.kind,
        owner=resource.owner,
        public=resource.public,
        name=resource.name,
        versions=resource.versions,
    )


def _refusal(principal: Principal, action: Action, resource: Resource, decision: Decision) -> str:
    name, verb = principal.account.name, action.value.replace("_", " ")
    place = f"this {resource.kind} of {resource.owner}" if resource.owner else f"the {resource.kind}"
    text = f"{name} may not {verb} {place}"
    if "key-permissions" in decision.policies:
        return f"{text} with this key: its permissions leave it out"
    if "algorithms" in decision.policies:
        return f"an algorithm may not {verb}: it calls, and uses data"
    if "secrets" in decision.policies:
        return f"{text}: only the algorithm itself is told"
    if decision.policies:
        return f"{text}: policies of {resource.owner} forbid it ({', '.join(decision.policies)})"
    return text if resource.owner else f"{text}: an administrator's key is needed"
