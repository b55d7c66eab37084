"""Accounts: users and organizations. A deleted one keeps its row: its name is never given again."""

from __future__ import annotations

import time
from typing import Any, Literal

import msgspec
from sqlalchemy import Select, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import AlreadyExists, BadMarker, NoSuchAccount, NoSuchOrganization
from slipway.ids import new_id
from slipway.registry import algorithms, changes, members, schema
from slipway.registry.names import check_account_name
from slipway.registry.rows import chunks, fetch_all, fetch_one, insert_new
from slipway.types import Account

Profile = dict[str, str]
Kind = Literal["user", "organization"]
_table = schema.accounts
_COLUMNS = [_table.c[name] for name in ("id", "name", "kind", "admin", "email", "created_at")]


def selection() -> Select[Any]:
    """The columns of types.Account of every account that is not deleted; `members.joined` adds the organizations."""
    return select(*_COLUMNS).where(_table.c.deleted_at.is_(None))


async def create(
    connection: AsyncConnection,
    *,
    name: str,
    email: str = "",
    admin: bool = False,
    kind: Kind = "user",
    profile: Profile | None = None,
) -> Account:
    """A new account. Raises InputError for a name that is not allowed, AlreadyExists for one that is or was taken."""
    account = Account(
        id=new_id(), name=check_account_name(name), kind=kind, email=email, admin=admin, created_at=time.time()
    )
    values = msgspec.structs.asdict(account)
    for joined in ("organizations", "roles"):
        del values[joined]
    if not await insert_new(connection, _table, {**values, "profile": profile}):
        raise AlreadyExists(f"the account {name} exists already, or did: a name is given once")
    changes.record(connection, "account", account.id)
    return account


async def get(connection: AsyncConnection, name: str) -> Account:
    """The account of that name; raises NoSuchAccount."""
    return await _one(connection, selection().where(_table.c.name == name), f"No such account: {name[:200]}")


async def get_user(connection: AsyncConnection, name: str) -> Account:
    """The user of that name; raises NoSuchAccount."""
    account = await get(connection, name)
    if account.kind != "user":
        raise NoSuchAccount(f"{name} is an organization, no user")
    return account


async def get_organization(connection: AsyncConnection, name: str) -> Account:
    """The organization of that name; raises NoSuchOrganization."""
    account = await fetch_one(connection, selection().where(_table.c.name == name), Account)
    if account is None or account.kind != "organization":
        raise NoSuchOrganization(f"No such organization: {name[:200]}")
    return account


async def by_id(connection: AsyncConnection, account_id: str) -> Account:
    """The account with that id; raises NoSuchAccount."""
    return await _one(connection, selection().where(_table.c.id == account_id), "No such account")


async def profile(connection: AsyncConnection, account_id: str) -> Profile:
    """What the API keeps of an account beside its name and address."""
    found: Profile | None = await connection.scalar(select(_table.c.profile).where(_table.c.id == account_id))
    return found or {}


async def profiles(connection: AsyncConnection, ids: list[str]) -> dict[str, Profile]:
    """The same of many accounts, by id."""
    found: dict[str, Profile] = {identity: {} for identity in ids}
    for some in chunks(ids):
        rows = await connection.execute(select(_table.c.id, _table.c.profile).where(_table.c.id.in_(some)))
        found.update((identity, profile or {}) for identity, profile in rows)
    return found


async def update_profile(
    connection: AsyncConnection, account_id: str, *, email: str | None = None, profile: Profile | None = None
) -> None:
    """Change what is not None; the profile is replaced as a whole."""
    given = {"email": email, "profile": profile}
    values = {name: value for name, value in given.items() if value is not None}
    if values:
        await connection.execute(update(_table).where(_table.c.id == account_id).values(**values))
        changes.record(connection, "account", account_id)


async def list_all(connection: AsyncConnection) -> list[Account]:
    """Every account, by name."""
    return await members.joined(connection, await fetch_all(connection, selection().order_by(_table.c.name), Account))


async def page(
    connection: AsyncConnection, kind: Kind | None, limit: int, marker: str | None = None
) -> tuple[list[Account], str | None]:
    """Accounts of a kind, or of all, by name, and the marker of the next page (None after the last). BadMarker."""
    query = selection().order_by(_table.c.name)
    if kind is not None:
        query = query.where(_table.c.kind == kind)
    if marker is not None:
        after = await connection.scalar(select(_table.c.name).where(_table.c.id == marker))
        if after is None:
            raise BadMarker("unknown marker: use `marker` or `next_link` of the previous page")
        query = query.where(_table.c.name > after)
    found = await fetch_all(connection, query.limit(limit + 1), Account)
    return await members.joined(connection, found[:limit]), found[limit - 1].id if len(found) > limit else None


async def delete(connection: AsyncConnection, account_id: str) -> None:
    """Remove an account's algorithms and memberships, and revoke its keys; the caller removes what lies in files."""
    good = update(schema.keys).where(schema.keys.c.account_id == account_id, schema.keys.c.revoked_at.is_(None))
    keys = await connection.scalars(good.values(revoked_at=time.time()).returning(schema.keys.c.id))
    changes.record(connection, "key", keys.all())
    owned = await connection.scalars(select(schema.algorithms.c.id).where(schema.algorithms.c.account_id == account_id))
    for algorithm_id in owned.all():
        await algorithms.delete(connection, algorithm_id)
    changes.record(connection, "account", await members.of_organization(connection, account_id))
    both = (schema.members.c.organization_id == account_id) | (schema.members.c.account_id == account_id)
    await connection.execute(delete_from(schema.members).where(both))
    await connection.execute(update(_table).where(_table.c.id == account_id).values(deleted_at=time.time()))
    changes.record(connection, "account", account_id)


async def _one(connection: AsyncConnection, query: Select[Any], missing: str) -> Account:
    account = await fetch_one(connection, query, Account)
    if account is None:
        raise NoSuchAccount(missing)
    (account,) = await members.joined(connection, [account])
    return account
