"""Accounts and their keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.access.decisions import Action
from slipway.access.principals import Principal
from slipway.control.authentication import administrator, anyone, may
from slipway.control.context import Ctx
from slipway.errors import NotFound
from slipway.registry import accounts, keys
from slipway.types import Account, Key

router = APIRouter(prefix="/v1", tags=["accounts"])


class NewUser(BaseModel, extra="forbid"):
    """A user to make. There are no passwords: what the classic clients send beside a name must be empty."""

    username: str
    email: Annotated[str, Field(max_length=320)] = ""
    passwordHash: Literal[""] | None = None
    shouldCreateHello: bool = False


class NewKey(BaseModel, extra="forbid"):
    """A key to make."""

    label: Annotated[str, Field(max_length=200)] = ""


@router.post("/users", status_code=201)
async def create_user(body: NewUser, context: Ctx, principal: Principal = administrator()) -> dict[str, Any]:
    """Make a user."""
    async with context.store.begin() as connection:
        account = await accounts.create(connection, name=body.username, email=body.email)
    await context.event(principal, "account.create", account.name)
    return render_account(account)


@router.get("/users")
async def list_users(context: Ctx, principal: Principal = administrator()) -> dict[str, Any]:
    """All users."""
    async with context.store.read() as connection:
        found = await accounts.list_all(connection)
    return {"results": [render_account(account) for account in found]}


@router.get("/whoami")
async def whoami(principal: Principal = anyone()) -> dict[str, Any]:
    """The account of the key that asks."""
    return render_account(principal.account)


@router.get("/users/{user}")
async def get_user(user: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "account")) -> dict[str, Any]:
    """One user."""
    async with context.store.read() as connection:
        return render_account(await accounts.get(connection, user))


@router.post("/users/{user}/keys", status_code=201)
async def create_key(
    user: str, context: Ctx, body: NewKey | None = None, principal: Principal = may(Action.ACCOUNT, "account")
) -> dict[str, Any]:
    """Make a key. Its text is in this reply and nowhere else."""
    async with context.store.begin() as connection:
        account = await accounts.get(connection, user)
        key, text = await keys.create(connection, account.id, (body or NewKey()).label)
    await context.event(principal, "key.create", user, created=key.id)
    return {**render_key(key), "key": text}


@router.get("/users/{user}/keys")
async def list_keys(user: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "account")) -> dict[str, Any]:
    """A user's keys, without their text."""
    async with context.store.read() as connection:
        account = await accounts.get(connection, user)
        found = await keys.list_for(connection, account.id)
    return {"results": [render_key(key) for key in found]}


@router.get("/users/{user}/keys/{key_id}")
async def get_key(
    user: str, key_id: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "account")
) -> dict[str, Any]:
    """One key, without its text."""
    async with context.store.read() as connection:
        return render_key(await _key(connection, user, key_id))


@router.delete("/users/{user}/keys/{key_id}")
async def revoke_key(
    user: str, key_id: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "account")
) -> dict[str, Any]:
    """Revoke a key: from now on it is refused everywhere."""
    async with context.store.begin() as connection:
        key = await keys.revoke(connection, (await _key(connection, user, key_id)).id)
    await context.event(principal, "key.revoke", user, revoked=key_id)
    return render_key(key)


async def _key(connection: AsyncConnection, user: str, key_id: str) -> Key:
    account = await accounts.get(connection, user)
    key = await keys.get(connection, key_id)
    if key.account_id != account.id:
        raise NotFound("No such key")
    return key


def render_account(account: Account) -> dict[str, Any]:
    """An account as the API shows it."""
    return {
        "id": account.id,
        "username": account.name,
        "email": account.email,
        "kind": account.kind,
        "admin": account.admin,
        "created_at": account.created_at,
        "self_link": f"/v1/users/{account.name}",
        "resource_type": "user",
    }


def render_key(key: Key) -> dict[str, Any]:
    """A key as the API shows it: recognisable, not usable."""
    return {
        "id": key.id,
        "label": key.label,
        "prefix": key.prefix,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "resource_type": "api_key",
    }
