"""Routes: what is live for an algorithm."""

from __future__ import annotations

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.registry import changes, schema
from slipway.registry.rows import fetch_one, insert_new
from slipway.types import Route

_table = schema.routes


async def get(connection: AsyncConnection, algorithm_id: str) -> Route | None:
    """The algorithm's route; None until something is live."""
    return await fetch_one(connection, select(_table).where(_table.c.algorithm_id == algorithm_id), Route)


async def set(connection: AsyncConnection, route: Route) -> Route:
    """Make this what is live, in place of what was."""
    if not await insert_new(connection, _table, {"algorithm_id": route.algorithm_id, "arms": route.arms}):
        mine = update(_table).where(_table.c.algorithm_id == route.algorithm_id)
        await connection.execute(mine.values(arms=route.arms))
    changes.record(connection, "route", route.algorithm_id)
    return route


async def clear(connection: AsyncConnection, algorithm_id: str) -> None:
    """Nothing is live any more."""
    await connection.execute(delete(_table).where(_table.c.algorithm_id == algorithm_id))
    changes.record(connection, "route", algorithm_id)
