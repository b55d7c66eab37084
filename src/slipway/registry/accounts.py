"""Accounts: users, and later organizations."""

from __future__ import annotations

import time

import msgspec
from sqlalchemy import delete as delete_from
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import AlreadyExists, NoSuchAccount
from slipway.ids import new_id
from slipway.registry import algorithms, changes, schema
from slipway.registry.names import check_account_name
from slipway.registry.rows import fetch_all, fetch_one, insert_new
from slipway.types import Account

_table = schema.accounts


async def create(connection: AsyncConnection, *, name: str, email: str = "", admin: bool = False) -> Account:
    """A new user. Raises InputError for a name that is not allowed, AlreadyExists for one that is taken."""
    account = Account(id=new_id(), name=check_account_name(name), email=email, admin=admin, created_at=time.time())
    if not await insert_new(connection, _table, msgspec.structs.asdict(account)):
        raise AlreadyExists(f"the account {name} exists already")
    changes.record(connection, "account", account.id)
    return account


async def get(connection: AsyncConnection, name: str) -> Account:
    """The account of that name; raises NoSuchAccount."""
    account = await fetch_one(connection, select(_table).where(_table.c.name == name), Account)
    if account is None:
        raise NoSuchAccount(f"No such account: {name[:200]}")
    return account


async def by_id(connection: AsyncConnection, account_id: str) -> Account:
    """The account with that id; raises NoSuchAccount."""
    account = await fetch_one(connection, select(_table).where(_table.c.id == account_id), Account)
    if account is None:
        raise NoSuchAccount("No such account")
    return account


async def list_all(connection: AsyncConnection) -> list[Account]:
    """Every account, by name."""
    return await fetch_all(connection, select(_table).order_by(_table.c.name), Account)


async def delete(connection: AsyncConnection, account_id: str) -> None:
    """Remove an account with its keys and algorithms; the caller removes what lies in files."""
    keys = await connection.scalars(select(schema.keys.c.id).where(schema.keys.c.account_id == account_id))
    changes.record(connection, "key", keys.all())
    owned = await connection.scalars(select(schema.algorithms.c.id).where(schema.algorithms.c.account_id == account_id))
    for algorithm_id in owned.all():
        await algorithms.delete(connection, algorithm_id)
    await connection.execute(delete_from(_table).where(_table.c.id == account_id))
    changes.record(connection, "account", account_id)
