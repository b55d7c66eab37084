"""The keys of users and of organizations."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.access.decisions import Action
from slipway.access.permissions import is_acl_entry
from slipway.access.principals import Principal
from slipway.control.authentication import may
from slipway.control.context import Context, Ctx
from slipway.errors import NotFound
from slipway.registry import accounts, keys
from slipway.types import Account, Key, Permissions

router = APIRouter(prefix="/v1", tags=["keys"])

_LENGTH = 28  # of a key


def _acl_entry(entry: str) -> str:
    if not is_acl_entry(entry):
        raise ValueError("an entry is algo://OWNER/NAME/VERSION, with * for what may be any")
    return entry


Label = Annotated[str, Field(max_length=200)]
AclEntry = Annotated[
    str, Field(max_length=400, json_schema_extra={"pattern": "^algo://[^/]+(/[^/]+){0,2}$"}), AfterValidator(_acl_entry)
]


class WantedPermissions(BaseModel):
    """What the key may do of what its account may; what is left out, it may not."""

    allow_data: bool = False
    allow_data_write: bool = False
    allow_algo: bool = False
    allow_algo_management: bool = False
    algo_acl: Annotated[list[AclEntry], Field(max_length=1000)] | None = None


class NewKey(BaseModel, extra="forbid"):
    """A key to make; without `permissions` it may do all that its account may."""

    label: Label | None = None
    key_label: Label | None = None  # as the classic clients call it
    key_type: str | None = None  # theirs too; kinds of keys differ by their permissions only
    permissions: WantedPermissions | None = None


@router.post("/users/{user}/keys", status_code=201)
async def create_key(
    user: str, context: Ctx, body: NewKey | None = None, principal: Principal = may(Action.ACCOUNT, "account")
) -> dict[str, Any]:
    """Make a key. Its text is in this reply and nowhere else."""
    return await _create(context, principal, user, body or NewKey())


@router.get("/users/{user}/keys")
async def list_keys(user: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "account")) -> dict[str, Any]:
    """A user's keys, without their text."""
    return await _list(context, user)


@router.get("/users/{user}/keys/{key_id}")
async def get_key(
    user: str, key_id: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "account")
) -> dict[str, Any]:
    """One key, without its text."""
    return await _get(context, user, key_id)


@router.delete("/users/{user}/keys/{key_id}")
async def revoke_key(
    user: str, key_id: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "account")
) -> dict[str, Any]:
    """Revoke a key: from now on it is refused everywhere."""
    return await _revoke(context, principal, user, key_id)


@router.post("/organizations/{organization}/keys", status_code=201)
async def create_organization_key(
    organization: str,
    context: Ctx,
    body: NewKey | None = None,
    principal: Principal = may(Action.ACCOUNT, "organization"),
) -> dict[str, Any]:
    """Make a key of an organization. Its text is in this reply and nowhere else."""
    return await _create(context, principal, organization, body or NewKey(), organization=True)


@router.get("/organizations/{organization}/keys")
async def list_organization_keys(
    organization: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "organization")
) -> dict[str, Any]:
    """An organization's keys, without their text."""
    return await _list(context, organization, organization=True)


@router.get("/organizations/{organization}/keys/{key_id}")
async def get_organization_key(
    organization: str, key_id: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "organization")
) -> dict[str, Any]:
    """One of an organization's keys, without its text."""
    return await _get(context, organization, key_id, organization=True)


@router.delete("/organizations/{organization}/keys/{key_id}")
async def revoke_organization_key(
    organization: str, key_id: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "organization")
) -> dict[str, Any]:
    """Revoke one of an organization's keys: from now on it is refused everywhere."""
    return await _revoke(context, principal, organization, key_id, organization=True)


async def _create(
    context: Context, principal: Principal, owner: str, wanted: NewKey, organization: bool = False
) -> dict[str, Any]:
    label = wanted.label if wanted.label is not None else wanted.key_label
    permissions = None
    if wanted.permissions is not None:
        permissions = msgspec.convert(wanted.permissions.model_dump(), Permissions)
    async with context.store.begin() as connection:
        account = await _account(connection, owner, organization)
        key, text = await keys.create(connection, account.id, label or "", permissions=permissions)
    await context.event(principal, "key.create", owner, created=key.id)
    return {**render_key(key), "key": text, "api_key": text, "owner_name": owner}


async def _list(context: Context, owner: str, organization: bool = False) -> dict[str, Any]:
    async with context.store.read() as connection:
        account = await _account(connection, owner, organization)
        found = await keys.list_for(connection, account.id)
    return {"results": [render_key(key) for key in found]}


async def _get(context: Context, owner: str, key_id: str, organization: bool = False) -> dict[str, Any]:
    async with context.store.read() as connection:
        return render_key(await _key(connection, owner, key_id, organization))


async def _revoke(
    context: Context, principal: Principal, owner: str, key_id: str, organization: bool = False
) -> dict[str, Any]:
    async with context.store.begin() as connection:
        key = await keys.revoke(connection, (await _key(connection, owner, key_id, organization)).id)
    await context.event(principal, "key.revoke", owner, revoked=key_id)
    return render_key(key)


async def _account(connection: AsyncConnection, owner: str, organization: bool) -> Account:
    find = accounts.get_organization if organization else accounts.get_user
    return await find(connection, owner)


async def _key(connection: AsyncConnection, owner: str, key_id: str, organization: bool) -> Key:
    account = await _account(connection, owner, organization)
    key = await keys.get(connection, key_id)
    if key.account_id != account.id:
        raise NotFound("No such key")
    return key


def render_key(key: Key) -> dict[str, Any]:
    """A key as the API shows it: recognisable, not usable."""
    return {
        "id": key.id,
        "label": key.label,
        "key_label": key.label,
        "prefix": key.prefix,
        "api_key_mask": key.prefix + "*" * (_LENGTH - len(key.prefix)),
        "permissions": None if key.permissions is None else msgspec.to_builtins(key.permissions),
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "resource_type": "api_key",
    }
