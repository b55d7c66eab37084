"""Organizations' own policies, as they wrote them."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Select, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.registry import changes, schema
from slipway.registry.rows import fetch_all, fetch_one
from slipway.types import Account, PolicyText

_table = schema.policies


async def put(connection: AsyncConnection, organization: Account, text: str) -> PolicyText:
    """Keep an organization's policies in place of its earlier ones."""
    await connection.execute(delete(_table).where(_table.c.account_id == organization.id))
    values = {"account_id": organization.id, "text": text, "updated_at": time.time()}
    await connection.execute(insert(_table), values)
    changes.record(connection, "policy", organization.id)
    return PolicyText(owner=organization.name, **values)  # type: ignore[arg-type]


async def get(connection: AsyncConnection, organization: Account) -> PolicyText | None:
    """What it has written, if it has."""
    return await fetch_one(connection, selection().where(_table.c.account_id == organization.id), PolicyText)


async def list_all(connection: AsyncConnection) -> list[PolicyText]:
    """Those of all organizations."""
    return await fetch_all(connection, selection(), PolicyText)


async def remove(connection: AsyncConnection, organization: Account) -> None:
    """Forget them."""
    await connection.execute(delete(_table).where(_table.c.account_id == organization.id))
    changes.record(connection, "policy", organization.id)


def selection() -> Select[Any]:
    """A query for policies, with the names of their owners."""
    joined = _table.join(schema.accounts, schema.accounts.c.id == _table.c.account_id)
    alive = select(_table, schema.accounts.c.name.label("owner")).select_from(joined)
    return alive.where(schema.accounts.c.deleted_at.is_(None))
