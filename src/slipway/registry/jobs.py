"""Durable jobs: claimed under a lease, claimed again when it runs out, failed once their attempts are used up.

A worker holds a job by its id and attempt number: whoever lost the lease cannot end the attempt of another.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Update, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import NotFound
from slipway.ids import new_id
from slipway.registry import schema
from slipway.registry.rows import fetch_one, insert_new
from slipway.types import Job

_table = schema.jobs
_COLUMNS = [column for column in _table.columns if column.name != "not_before"]


async def enqueue(
    connection: AsyncConnection,
    *,
    kind: str,
    idempotency_key: str,
    payload: dict[str, str],
    max_attempts: int = 3,
    deadline_at: float | None = None,
) -> Job:
    """A new job; where one of that kind has the key, that one. A failed one is queued again, as if it were new."""
    fresh = {
        "state": "queued",
        "payload": payload,
        "attempts": 0,
        "max_attempts": max_attempts,
        "not_before": 0.0,
        "lease_until": None,
        "deadline_at": deadline_at,
        "error": "",
        "finished_at": None,
    }
    named = {"id": new_id(), "kind": kind, "idempotency_key": idempotency_key, "created_at": time.time()}
    same = and_(_table.c.kind == kind, _table.c.idempotency_key == idempotency_key)
    if not await insert_new(connection, _table, {**named, **fresh}):
        await connection.execute(update(_table).where(same, _table.c.state == "failed").values(**fresh))
    return await _one(connection, same)


async def get(connection: AsyncConnection, job_id: str) -> Job:
    """The job with that id; raises NotFound."""
    return await _one(connection, _table.c.id == job_id)


async def claim(connection: AsyncConnection, kinds: Sequence[str], lease_seconds: float) -> Job | None:
    """The oldest job of those kinds that is due, now leased to the caller. No two callers get the same attempt."""
    await recover(connection)
    now = time.time()
    due = (
        select(_table.c.id)
        .where(_table.c.state == "queued", _table.c.kind.in_(kinds), _table.c.not_before <= now)
        .order_by(_table.c.created_at, _table.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(_table)
        .where(_table.c.id == due.scalar_subquery())
        .values(state="running", attempts=_table.c.attempts + 1, lease_until=now + lease_seconds)
    )
    return await _returned(connection, taken)


async def extend(connection: AsyncConnection, job: Job, lease_seconds: float) -> bool:
    """Keep a job for longer; False when the lease was lost to another."""
    return await _held(connection, job, lease_until=time.time() + lease_seconds)


async def finish(connection: AsyncConnection, job: Job) -> bool:
    """The job is done; False when the lease was lost to another, whose attempt counts then."""
    return await _held(connection, job, state="succeeded", error="", lease_until=None, finished_at=time.time())


async def fail(
    connection: AsyncConnection, job: Job, error: str, *, retry: bool = True, retry_in_seconds: float = 0.0
) -> bool:
    """This attempt failed; the job is tried again while it has attempts left and `retry`. False: the lease was lost."""
    now = time.time()
    if retry and job.attempts < job.max_attempts:
        return await _held(
            connection, job, state="queued", error=error, lease_until=None, not_before=now + retry_in_seconds
        )
    return await _held(connection, job, state="failed", error=error, lease_until=None, finished_at=now)


async def recover(connection: AsyncConnection) -> None:
    """Queue what lost its worker again; fail what has no attempt or no time left."""
    now = time.time()
    lost = and_(_table.c.state == "running", _table.c.lease_until < now)
    ended = {"state": "failed", "lease_until": None, "finished_at": now}
    late = and_(or_(lost, _table.c.state == "queued"), _table.c.deadline_at < now)
    await connection.execute(_each(late).values(error="its deadline passed", **ended))
    exhausted = and_(lost, _table.c.attempts >= _table.c.max_attempts)
    await connection.execute(_each(exhausted).values(error="every attempt lost its worker", **ended))
    await connection.execute(_each(lost).values(state="queued", lease_until=None))


def _each(condition: ColumnElement[bool]) -> Update:
    # Rows that another control is working on are left to it: two of them waiting crosswise would be a deadlock.
    free = select(_table.c.id).where(condition).with_for_update(skip_locked=True)
    return update(_table).where(_table.c.id.in_(free))


async def _held(connection: AsyncConnection, job: Job, **values: str | float | None) -> bool:
    mine = and_(_table.c.id == job.id, _table.c.state == "running", _table.c.attempts == job.attempts)
    return (await connection.execute(update(_table).where(mine).values(**values))).rowcount == 1


async def _one(connection: AsyncConnection, condition: ColumnElement[bool]) -> Job:
    job = await fetch_one(connection, select(*_COLUMNS).where(condition), Job)
    if job is None:
        raise NotFound("No such job")
    return job


async def _returned(connection: AsyncConnection, statement: Update) -> Job | None:
    row = (await connection.execute(statement.returning(*_COLUMNS))).first()
    return None if row is None else Job(**row._mapping)
