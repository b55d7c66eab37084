"""Algorithms' secrets, as they were sealed: this module never sees a value."""

from __future__ import annotations

import time

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import AlreadyExists, NotFound
from slipway.registry import schema, versions
from slipway.registry.rows import fetch_all, fetch_one, insert_new
from slipway.types import Secret

_table = schema.secrets


async def add(connection: AsyncConnection, secret: Secret) -> Secret:
    """Keep a new secret. Raises AlreadyExists where its algorithm has one of that key."""
    if not await insert_new(connection, _table, msgspec.structs.asdict(secret)):
        raise AlreadyExists(f"the algorithm has a secret {secret.secret_key} already")
    await versions.secrets_changed(connection, secret.algorithm_id)
    return secret


async def change(connection: AsyncConnection, secret: Secret) -> Secret:
    """Write what a secret is now. Raises AlreadyExists where its key is another's."""
    other = select(_table.c.id).where(
        _table.c.algorithm_id == secret.algorithm_id, _table.c.secret_key == secret.secret_key, _table.c.id != secret.id
    )
    if await connection.scalar(other) is not None:
        raise AlreadyExists(f"the algorithm has a secret {secret.secret_key} already")
    secret = msgspec.structs.replace(secret, updated_at=time.time())
    values = msgspec.structs.asdict(secret)
    await connection.execute(update(_table).where(_table.c.id == secret.id).values(**values))
    return secret


async def by_key(connection: AsyncConnection, algorithm_id: str, secret_key: str) -> Secret | None:
    """The algorithm's secret of that key."""
    mine = select(_table).where(_table.c.algorithm_id == algorithm_id, _table.c.secret_key == secret_key)
    return await fetch_one(connection, mine, Secret)


async def get(connection: AsyncConnection, algorithm_id: str, secret_id: str) -> Secret:
    """The algorithm's secret with that id; raises NotFound."""
    mine = select(_table).where(_table.c.algorithm_id == algorithm_id, _table.c.id == secret_id)
    secret = await fetch_one(connection, mine, Secret)
    if secret is None:
        raise NotFound("No such secret")
    return secret


async def list_for(connection: AsyncConnection, algorithm_id: str) -> list[Secret]:
    """An algorithm's secrets, by key."""
    mine = select(_table).where(_table.c.algorithm_id == algorithm_id)
    return await fetch_all(connection, mine.order_by(_table.c.secret_key), Secret)


async def remove(connection: AsyncConnection, secret: Secret) -> None:
    """Forget a secret."""
    await connection.execute(delete(_table).where(_table.c.id == secret.id))
    await versions.secrets_changed(connection, secret.algorithm_id)
