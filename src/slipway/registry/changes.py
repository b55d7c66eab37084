"""The change log that gateways follow: every change carries the revision of the transaction that made it.

A transaction collects what it changed and takes its revision last, in `flush`, just before it commits. The row lock on
`revision` therefore is held for one insert only, nothing is locked after it (so it can be in no deadlock), and
revisions become visible in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.registry.schema import changes, revision
from slipway.types import Change

ChangeKind = Literal["account", "key", "algorithm", "version", "route", "reservation", "policy"]
_PENDING = "slipway_pending_changes"


def record(connection: AsyncConnection, kind: ChangeKind, ids: str | Iterable[str]) -> None:
    """Note that these entities are made, changed or removed by the transaction under way."""
    pending = _pending(connection)
    for identity in (ids,) if isinstance(ids, str) else ids:
        pending[(kind, identity)] = None


def start(connection: AsyncConnection) -> None:
    """Forget what an earlier transaction on this connection recorded and then rolled back."""
    _pending(connection).clear()


async def flush(connection: AsyncConnection) -> int | None:
    """Write what was recorded under the next revision and return that; None where nothing was."""
    pending = list(_pending(connection))
    if not pending:
        return None
    taken = await connection.execute(update(revision).values(value=revision.c.value + 1).returning(revision.c.value))
    number = int(taken.scalar_one())
    rows = [{"revision": number, "kind": kind, "id": identity} for kind, identity in pending]
    await connection.execute(insert(changes), rows)
    return number


async def current(connection: AsyncConnection) -> int:
    """The revision of the last committed change; 0 in a new store."""
    return int((await connection.execute(select(revision.c.value))).scalar_one())


async def forgotten(connection: AsyncConnection) -> int:
    """Changes up to this revision are no longer listed: who is behind it must read everything."""
    return int((await connection.execute(select(revision.c.forgotten))).scalar_one())


async def since(connection: AsyncConnection, after: int, limit: int) -> list[Change]:
    """Up to `limit` changes after a revision, oldest first."""
    newer = select(changes).where(changes.c.revision > after)
    rows = await connection.execute(newer.order_by(changes.c.revision).limit(limit))
    return [Change(revision=row.revision, kind=row.kind, id=row.id) for row in rows]


async def forget(connection: AsyncConnection, up_to: int) -> None:
    """Drop the list of changes up to a revision, which every follower should have passed."""
    await connection.execute(update(revision).where(revision.c.forgotten < up_to).values(forgotten=up_to))
    await connection.execute(delete(changes).where(changes.c.revision <= up_to))


def _pending(connection: AsyncConnection) -> dict[tuple[ChangeKind, str], None]:
    synchronous = connection.sync_connection
    assert synchronous is not None, "the connection is not open"
    pending: dict[tuple[ChangeKind, str], None] = synchronous.info.setdefault(_PENDING, {})
    return pending
