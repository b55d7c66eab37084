"""Environments, addressed by digest."""

from __future__ import annotations

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import NotFound
from slipway.registry import changes, schema
from slipway.registry.rows import fetch_all, fetch_one, insert_new
from slipway.types import Environment

_table = schema.environments


async def get(connection: AsyncConnection, digest: str) -> Environment | None:
    """The environment with that digest."""
    return await fetch_one(connection, select(_table).where(_table.c.digest == digest), Environment)


async def add(connection: AsyncConnection, environment: Environment) -> Environment:
    """Keep an environment; one that is there already stays as it is and is returned."""
    await insert_new(connection, _table, msgspec.structs.asdict(environment))
    return await _existing(connection, environment.digest)


async def list_all(connection: AsyncConnection) -> list[Environment]:
    """Every environment, oldest first."""
    return await fetch_all(connection, select(_table).order_by(_table.c.created_at, _table.c.digest), Environment)


async def set_trusted(connection: AsyncConnection, digest: str, trusted: bool) -> Environment:
    """An administrator's word on whether all owners may share one zygote of it. Raises NotFound."""
    await connection.execute(update(_table).where(_table.c.digest == digest).values(trusted=trusted))
    users = select(schema.versions.c.id).where(schema.versions.c.environment == digest)
    changes.record(connection, "version", (await connection.scalars(users)).all())
    return await _existing(connection, digest)


async def _existing(connection: AsyncConnection, digest: str) -> Environment:
    environment = await get(connection, digest)
    if environment is None:
        raise NotFound("No such environment")
    return environment
