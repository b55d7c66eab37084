"""Who asks, and whether they may: the dependency that every public route has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request

from slipway.access.authorization_header import key_from_header
from slipway.access.decisions import PLATFORM, Action, Resource
from slipway.access.principals import Principal
from slipway.control.context import Context, Ctx
from slipway.registry import accounts, algorithms, keys, versions

Permission = Callable[..., Awaitable[Principal]]


async def identify(context: Context, header: str | None) -> Principal | None:
    """Who holds the key in an `Authorization` header; None for nobody."""
    text = key_from_header(header)
    if text is None:
        return None
    async with context.store.read() as connection:
        key = await keys.by_hash(connection, keys.hash_key(text))
        if key is None or key.revoked_at is not None:
            return None
        return Principal(account=await accounts.by_id(connection, key.account_id), key_id=key.id)


async def who(request: Request, context: Ctx) -> Principal | None:
    """The caller of a request."""
    return await identify(context, request.headers.get("authorization"))


Who = Annotated[Principal | None, Depends(who)]


def may(action: Action, kind: str = "algorithm") -> Any:  # noqa: ANN401 - FastAPI's own type of a dependency
    """A dependency: the caller, if they may do that to what the path names (`owner`, or `user`)."""

    async def permission(request: Request, context: Ctx, principal: Who) -> Principal:
        owner = request.path_params.get("owner") or request.path_params.get("user") or ""
        name = request.path_params.get("name", "")
        public = action is Action.READ and bool(name) and await _is_public(context, owner, name)
        return context.allow(principal, action, Resource(kind, owner, public), f"{owner}/{name}" if name else owner)

    return Depends(permission)


def administrator() -> Any:  # noqa: ANN401
    """A dependency: the caller, if they administer the platform."""

    async def permission(context: Ctx, principal: Who) -> Principal:
        return context.allow(principal, Action.ADMIN, PLATFORM)

    return Depends(permission)


def anyone() -> Any:  # noqa: ANN401
    """A dependency: the caller, whoever holds a key."""

    async def permission(context: Ctx, principal: Who) -> Principal:
        return context.allow(principal, Action.READ, Resource("platform", "", public=True))

    return Depends(permission)


async def _is_public(context: Context, owner: str, name: str) -> bool:
    """Whether everyone may call some version of it."""
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        found, _ = await versions.page(connection, algorithm.id, limit=1, callable=True)
    return bool(found)
