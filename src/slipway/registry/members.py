"""Who belongs to which organization."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.registry import changes, schema
from slipway.registry.rows import chunks, insert_new
from slipway.types import Account

MEMBER = "member"  # as the common API calls those who may do everything; so may an `admin`
ROLES = (MEMBER, "admin", "publisher", "developer", "caller", "auditor", "billing")
_WHOLE = frozenset((MEMBER, "admin"))
_table = schema.members
_ALL_AT_ONCE = 1000  # beyond so many accounts every membership is read


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One user of an organization."""

    username: str
    role: str
    created_at: float


async def add(connection: AsyncConnection, organization: Account, account: Account, role: str = MEMBER) -> bool:
    """Make a user a member in that role; False where it is one in that role already."""
    mine = (_table.c.organization_id == organization.id, _table.c.account_id == account.id)
    values = {"organization_id": organization.id, "account_id": account.id, "role": role, "created_at": time.time()}
    changed = await insert_new(connection, _table, values)
    if not changed:
        other = update(_table).where(*mine, _table.c.role != role).values(role=role)
        changed = bool((await connection.execute(other)).rowcount)
    if changed:
        changes.record(connection, "account", account.id)
    return changed


async def remove(connection: AsyncConnection, organization: Account, account: Account) -> bool:
    """No member any longer; False where it was none."""
    mine = delete(_table).where(_table.c.organization_id == organization.id, _table.c.account_id == account.id)
    removed = bool((await connection.execute(mine)).rowcount)
    if removed:
        changes.record(connection, "account", account.id)
    return removed


async def list_for(connection: AsyncConnection, organization_id: str) -> list[Member]:
    """An organization's members, by name."""
    query = select(schema.accounts.c.name, _table.c.role, _table.c.created_at)
    query = query.join(schema.accounts, schema.accounts.c.id == _table.c.account_id)
    rows = await connection.execute(
        query.where(_table.c.organization_id == organization_id).order_by(schema.accounts.c.name)
    )
    return [Member(username=name, role=role, created_at=created_at) for name, role, created_at in rows]


async def of_organization(connection: AsyncConnection, organization_id: str) -> Sequence[str]:
    """The ids of an organization's members."""
    mine = select(_table.c.account_id).where(_table.c.organization_id == organization_id)
    return (await connection.scalars(mine)).all()


async def joined(connection: AsyncConnection, accounts: list[Account]) -> list[Account]:
    """The accounts with the names of their organizations, and their roles."""
    if not accounts:
        return accounts
    query = select(_table.c.account_id, schema.accounts.c.name, _table.c.role)
    query = query.join(schema.accounts, schema.accounts.c.id == _table.c.organization_id)
    whole: dict[str, set[str]] = {}
    partly: dict[str, set[str]] = {}
    for some in _selections(query, [account.id for account in accounts]):
        for account_id, name, role in await connection.execute(some):
            if role in _WHOLE:
                whole.setdefault(account_id, set()).add(name)
            else:
                partly.setdefault(account_id, set()).add(f"{name}/{role}")
    return [_with(account, whole.get(account.id, ()), partly.get(account.id, ())) for account in accounts]


def _with(account: Account, organizations: Iterable[str], roles: Iterable[str]) -> Account:
    if not organizations and not roles:
        return account
    return msgspec.structs.replace(account, organizations=frozenset(organizations), roles=frozenset(roles))


def _selections(query: Select[Any], ids: list[str]) -> list[Select[Any]]:
    if len(ids) > _ALL_AT_ONCE:
        return [query]
    return [query.where(_table.c.account_id.in_(some)) for some in chunks(ids)]
