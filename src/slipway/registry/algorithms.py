"""Algorithms: what `owner/name` means."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy import delete as delete_from
from sqlalchemy import update as update_table
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import AlreadyExists, NoSuchAlgorithm
from slipway.ids import new_id
from slipway.registry import changes, schema
from slipway.registry.names import check_algorithm_name
from slipway.registry.rows import fetch_all, fetch_one, insert_new
from slipway.types import Account, Algorithm

AlgorithmSettings = dict[str, str | bool | int]
_table = schema.algorithms


def selection() -> Select[Any]:
    """All columns of types.Algorithm."""
    return select(_table, schema.accounts.c.name.label("owner")).join(schema.accounts)


async def create(
    connection: AsyncConnection,
    *,
    account: Account,
    name: str,
    label: str = "",
    summary: str = "",
    tagline: str = "",
    settings: AlgorithmSettings | None = None,
) -> Algorithm:
    """A new algorithm without versions. Raises InputError for a name that is not allowed, AlreadyExists."""
    values: dict[str, Any] = {
        "id": new_id(),
        "account_id": account.id,
        "name": check_algorithm_name(name),
        "label": label,
        "summary": summary,
        "tagline": tagline,
        "settings": settings or {},
        "created_at": time.time(),
    }
    if not await insert_new(connection, _table, values):
        raise AlreadyExists(f"the algorithm {account.name}/{name} exists already")
    changes.record(connection, "algorithm", values["id"])
    return Algorithm(owner=account.name, **values)


async def get(connection: AsyncConnection, owner: str, name: str) -> Algorithm:
    """The algorithm `owner/name`; raises NoSuchAlgorithm."""
    named = selection().where(schema.accounts.c.name == owner, _table.c.name == name)
    algorithm = await fetch_one(connection, named, Algorithm)
    if algorithm is None:
        raise NoSuchAlgorithm("No such algorithm")
    return algorithm


async def by_id(connection: AsyncConnection, algorithm_id: str) -> Algorithm:
    """The algorithm with that id; raises NoSuchAlgorithm."""
    algorithm = await fetch_one(connection, selection().where(_table.c.id == algorithm_id), Algorithm)
    if algorithm is None:
        raise NoSuchAlgorithm("No such algorithm")
    return algorithm


async def list_for(connection: AsyncConnection, owner: str | None = None) -> list[Algorithm]:
    """An owner's algorithms, or everyone's, by owner and name."""
    query = selection().order_by(schema.accounts.c.name, _table.c.name)
    return await fetch_all(
        connection, query if owner is None else query.where(schema.accounts.c.name == owner), Algorithm
    )


async def update(
    connection: AsyncConnection,
    algorithm_id: str,
    *,
    label: str | None = None,
    summary: str | None = None,
    tagline: str | None = None,
    settings: AlgorithmSettings | None = None,
) -> Algorithm:
    """Change what is not None; settings are replaced as a whole. Raises NoSuchAlgorithm."""
    given = {"label": label, "summary": summary, "tagline": tagline, "settings": settings}
    values = {name: value for name, value in given.items() if value is not None}
    if values:
        await connection.execute(update_table(_table).where(_table.c.id == algorithm_id).values(**values))
        changes.record(connection, "algorithm", algorithm_id)
    return await by_id(connection, algorithm_id)


async def lock(connection: AsyncConnection, algorithm_id: str) -> None:
    """Until the transaction ends no other one may pass here for this algorithm: who publishes takes turns."""
    mine = select(_table.c.id).where(_table.c.id == algorithm_id)
    await connection.execute(mine.with_for_update(key_share=True))


async def delete(connection: AsyncConnection, algorithm_id: str) -> None:
    """Remove an algorithm with all that is kept of it; the caller removes what lies in files."""
    versions = select(schema.versions.c.id).where(schema.versions.c.algorithm_id == algorithm_id)
    reservations = select(schema.reservations.c.id).where(schema.reservations.c.algorithm_id == algorithm_id)
    changes.record(connection, "version", (await connection.scalars(versions)).all())
    changes.record(connection, "reservation", (await connection.scalars(reservations)).all())
    await connection.execute(delete_from(_table).where(_table.c.id == algorithm_id))
    changes.record(connection, "route", algorithm_id)
    changes.record(connection, "algorithm", algorithm_id)
