"""Who asks, and whether they may: every public route has one dependency of this module, which decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Request

from slipway.access.authorization_header import key_from_header
from slipway.access.decisions import PLATFORM, Action, Resource
from slipway.access.principals import Principal
from slipway.control.acting import KEY as ACTING
from slipway.control.context import Context, Ctx
from slipway.errors import AuthenticationError, DiskFull
from slipway.registry import accounts, algorithms, keys, versions
from slipway.types import Algorithm
from slipway.wire.acting import Acting

F = TypeVar("F", bound=Callable[..., Any])

_READING = ("GET", "HEAD", "OPTIONS")
_deciding: set[Callable[..., Any]] = set()


async def identify(context: Context, header: str | None) -> Principal | None:
    """Who holds the key in an `Authorization` header; None for nobody."""
    text = key_from_header(header)
    if text is None:
        return None
    async with context.store.read() as connection:
        key = await keys.by_hash(connection, keys.hash_key(text))
        if key is None or key.revoked_at is not None:
            return None
        account = await accounts.by_id(connection, key.account_id)
        return Principal(account=account, key_id=key.id, permissions=key.permissions)


async def on_behalf(context: Context, acting: Acting) -> Principal:
    """An algorithm that asks on behalf of its caller. Raises NoSuchAccount, NotFound."""
    async with context.store.read() as connection:
        account = await accounts.get(connection, acting.caller)
        permissions = (await keys.get(connection, acting.key_id)).permissions if acting.key_id else None
    return Principal(
        account=account,
        key_id=acting.key_id,
        permissions=permissions,
        algorithm=acting.algorithm,
        call_id=acting.call_id,
    )


async def authenticated(request: Request, context: Ctx) -> Principal:
    """The caller. Raises AuthenticationError, and DiskFull for changes of which no event could be kept."""
    acting: Acting | None = request.scope.get(ACTING)
    if acting is not None:
        principal: Principal | None = await on_behalf(context, acting)
    else:
        principal = await identify(context, request.headers.get("authorization"))
    if principal is None:
        context.refusals.count(request.scope["route"].path)
        raise AuthenticationError("send `Authorization: Simple KEY` with an API key of this platform")
    if request.method not in _READING and not context.journal.healthy:
        raise DiskFull("nothing can be changed: the disk that holds the journal is full")
    return principal


Who = Annotated[Principal, Depends(authenticated)]


def decides(permission: F) -> F:
    """Mark a dependency as one that asks `access`; a test looks for one on every route."""
    _deciding.add(permission)
    return permission


def is_decision(dependency: Callable[..., Any] | None) -> bool:
    """Whether it is marked."""
    return dependency in _deciding


def may(action: Action, kind: str = "algorithm") -> Any:  # noqa: ANN401 - FastAPI's own type of a dependency
    """A dependency: the caller, if they may do that to what the path names (`owner`, `user` or `organization`)."""

    @decides
    async def permission(request: Request, context: Ctx, principal: Who) -> Principal:
        named = request.path_params
        owner = named.get("owner") or named.get("user") or named.get("organization") or ""
        name = request.path_params.get("name", "")
        public = action is Action.READ and bool(name) and await _is_public(context, owner, name)
        resource = f"{owner}/{name}" if name else owner
        return await context.allow(principal, action, Resource(kind, owner, public, name), resource)

    return Depends(permission)


class Named(msgspec.Struct, frozen=True):
    """An algorithm that a path names by its id, and the caller, who may do there what the route does."""

    principal: Principal
    algorithm: Algorithm


def may_with(action: Action) -> Any:  # noqa: ANN401
    """A dependency: `Named`, for routes whose path has an `algorithm_id`. Raises NoSuchAlgorithm."""

    @decides
    async def permission(algorithm_id: str, context: Ctx, principal: Who) -> Named:
        async with context.store.read() as connection:
            found = await algorithms.by_id(connection, algorithm_id)
        resource = Resource("algorithm", found.owner, name=found.name)
        return Named(await context.allow(principal, action, resource, f"{found.owner}/{found.name}"), found)

    return Depends(permission)


def administrator() -> Any:  # noqa: ANN401
    """A dependency: the caller, if they administer the platform."""

    @decides
    async def permission(context: Ctx, principal: Who) -> Principal:
        return await context.allow(principal, Action.ADMIN, PLATFORM)

    return Depends(permission)


def anyone() -> Any:  # noqa: ANN401
    """A dependency: the caller, whoever holds a key."""

    @decides
    async def permission(context: Ctx, principal: Who) -> Principal:
        return await context.allow(principal, Action.READ, Resource("platform", "", public=True))

    return Depends(permission)


def itself() -> Any:  # noqa: ANN401
    """A dependency: an algorithm that asks for what is its own, whoever calls it. Nobody with a key is one."""

    @decides
    async def permission(context: Ctx, principal: Who) -> Principal:
        owner, _, name = principal.algorithm.partition("/")
        resource = Resource("data", owner, name=name or "/")
        return await context.allow(principal, Action.SECRET, resource, principal.algorithm or "secrets")

    return Depends(permission)


def themselves(action: Action) -> Any:  # noqa: ANN401
    """A dependency: the caller, if their key may do that to what is their own."""

    @decides
    async def permission(context: Ctx, principal: Who) -> Principal:
        return await context.allow(principal, action, Resource("account", principal.account.name))

    return Depends(permission)


async def _is_public(context: Context, owner: str, name: str) -> bool:
    """Whether everyone may call some version of it."""
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        found, _ = await versions.page(connection, algorithm.id, limit=1, callable=True)
    return bool(found)
