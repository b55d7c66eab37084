"""Reservations: replicas that an administrator wants kept for an algorithm, or for one of its callers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import NotFound
from slipway.registry import changes, schema
from slipway.registry.rows import fetch_all, fetch_one
from slipway.types import Reservation

_table = schema.reservations


async def add(connection: AsyncConnection, reservation: Reservation) -> None:
    """Keep a reservation."""
    values = {column.name: getattr(reservation, column.name) for column in _table.columns}
    await connection.execute(insert(_table), values)
    changes.record(connection, "reservation", reservation.id)


async def get(connection: AsyncConnection, reservation_id: str) -> Reservation:
    """The reservation with that id; raises NotFound."""
    found = await fetch_one(connection, selection().where(_table.c.id == reservation_id), Reservation)
    if found is None:
        raise NotFound("No such reservation")
    return found


async def list_all(connection: AsyncConnection) -> list[Reservation]:
    """Every reservation, oldest first."""
    return await fetch_all(connection, selection().order_by(_table.c.created_at, _table.c.id), Reservation)


async def remove(connection: AsyncConnection, reservation_id: str) -> None:
    """Forget a reservation."""
    await connection.execute(delete(_table).where(_table.c.id == reservation_id))
    changes.record(connection, "reservation", reservation_id)


def selection() -> Select[Any]:
    """A query for reservations, with the names of their algorithms."""
    owners = schema.accounts.alias()
    joined = _table.join(schema.algorithms, schema.algorithms.c.id == _table.c.algorithm_id)
    joined = joined.join(owners, owners.c.id == schema.algorithms.c.account_id)
    return select(_table, owners.c.name.label("owner"), schema.algorithms.c.name.label("algorithm")).select_from(joined)
