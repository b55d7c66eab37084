"""Durable jobs: claimed under a lease, claimed again when it runs out, failed once their attempts are used up.

A worker holds a job by its id and attempt number: whoever lost the lease cannot end the attempt of another. Attempts
only ever grow, therefore; those that were cut short for no fault of the job are counted again, as excused.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Update, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import NotFound
from slipway.ids import new_id
from slipway.registry import schema
from slipway.registry.rows import fetch_one, insert_new
from slipway.types import Job

_table = schema.jobs
_COLUMNS = [column for column in _table.columns if column.name != "not_before"]
_OLDEST = (_table.c.created_at, _table.c.id)


async def enqueue(
    connection: AsyncConnection,
    *,
    kind: str,
    idempotency_key: str,
    payload: dict[str, str],
    max_attempts: int = 3,
    deadline_at: float | None = None,
    lane: str = "",
    lane_limit: int = 0,
) -> Job:
    """A new job; where one of that kind has the key, that one. A failed one is queued again, as if it were new.

    Of the jobs in one lane, a runner has `lane_limit` at a time (0: any number).
    """
    fresh = {
        "state": "queued",
        "payload": payload,
        "lane": lane,
        "lane_limit": lane_limit,
        "attempts": 0,
        "excused": 0,
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
    return next(iter(await _claim(connection, _due(kinds), lease_seconds, 1)), None)


async def standing(connection: AsyncConnection, kind: str) -> dict[str, int]:
    """How many jobs of a kind wait, and how many run."""
    states = ("queued", "running")
    counted = select(_table.c.state, func.count()).where(_table.c.state.in_(states), _table.c.kind == kind)
    found = {state: number for state, number in await connection.execute(counted.group_by(_table.c.state))}
    return {state: found.get(state, 0) for state in states}


async def next_lane(connection: AsyncConnection, kinds: Sequence[str], busy: Sequence[str]) -> tuple[str, int] | None:
    """The lane of the oldest job that is due, and its limit; those that are `busy` are passed over."""
    wanted = and_(_due(kinds), _table.c.lane.not_in(busy)) if busy else _due(kinds)
    oldest = select(_table.c.lane, _table.c.lane_limit).where(wanted).order_by(*_OLDEST).limit(1)
    row = (await connection.execute(oldest)).first()
    return None if row is None else (row.lane, row.lane_limit)


async def claim_in(
    connection: AsyncConnection, kinds: Sequence[str], lane: str, lease_seconds: float, limit: int
) -> list[Job]:
    """As `claim`, up to `limit` of one lane. Calling `recover` now and then is the caller's own business."""
    return await _claim(connection, and_(_due(kinds), _table.c.lane == lane), lease_seconds, limit)


async def extend(connection: AsyncConnection, job: Job, lease_seconds: float) -> bool:
    """Keep a job for longer; False when the lease was lost to another."""
    return await _held(connection, job, lease_until=time.time() + lease_seconds)


async def release(connection: AsyncConnection, job: Job, retry_in_seconds: float = 0.0) -> bool:
    """Give back a job that was cut short for no fault of its own: this attempt does not count."""
    excused, due = _table.c.excused + 1, time.time() + retry_in_seconds
    return await _held(connection, job, state="queued", lease_until=None, not_before=due, excused=excused)


def tries(job: Job) -> int:
    """Its attempts that count, with the one under way."""
    return job.attempts - job.excused


def has_attempts_left(job: Job) -> bool:
    """Whether it is tried again when the attempt under way fails."""
    return tries(job) < job.max_attempts


async def finish(connection: AsyncConnection, job: Job) -> bool:
    """The job is done; False when the lease was lost to another, whose attempt counts then."""
    return await _held(connection, job, state="succeeded", error="", lease_until=None, finished_at=time.time())


async def fail(
    connection: AsyncConnection, job: Job, error: str, *, retry: bool = True, retry_in_seconds: float = 0.0
) -> bool:
    """This attempt failed; the job is tried again while it has attempts left and `retry`. False: the lease was lost."""
    now = time.time()
    if retry and has_attempts_left(job):
        return await _held(
            connection, job, state="queued", error=error, lease_until=None, not_before=now + retry_in_seconds
        )
    return await _held(connection, job, state="failed", error=error, lease_until=None, finished_at=now)


async def recover(connection: AsyncConnection) -> None:
    """Queue what lost its worker again; fail what has no attempt or no time left."""
    now = time.time()
    lost = and_(_table.c.state == "running", _table.c.lease_until < now)
    ended = {"state": "failed", "lease_until": None, "finished_at": now}
    # Two statements rather than one with OR: each finds its few rows by an index, however many are queued.
    for waiting in (lost, _table.c.state == "queued"):
        late = and_(waiting, _table.c.deadline_at < now)
        await connection.execute(_each(late).values(error="its deadline passed", **ended))
    exhausted = and_(lost, _table.c.attempts - _table.c.excused >= _table.c.max_attempts)
    await connection.execute(_each(exhausted).values(error="every attempt lost its worker", **ended))
    await connection.execute(_each(lost).values(state="queued", lease_until=None))


def _each(condition: ColumnElement[bool]) -> Update:
    # Rows that another control is working on are left to it: two of them waiting crosswise would be a deadlock.
    free = select(_table.c.id).where(condition).with_for_update(skip_locked=True)
    return update(_table).where(_table.c.id.in_(free))


def _due(kinds: Sequence[str]) -> ColumnElement[bool]:
    return and_(_table.c.state == "queued", _table.c.kind.in_(kinds), _table.c.not_before <= time.time())


async def _claim(
    connection: AsyncConnection, wanted: ColumnElement[bool], lease_seconds: float, limit: int
) -> list[Job]:
    """The oldest of those that are wanted, oldest first."""
    due = select(_table.c.id).where(wanted).order_by(*_OLDEST).limit(limit).with_for_update(skip_locked=True)
    # Not as one statement: a plan of PostgreSQL's may look for `due` again and again, and so take more than the limit.
    ids = list((await connection.execute(due)).scalars())
    if not ids:
        return []
    taken = (
        update(_table)
        .where(_table.c.id.in_(ids))
        .values(state="running", attempts=_table.c.attempts + 1, lease_until=time.time() + lease_seconds)
        .returning(*_COLUMNS)
    )
    jobs = [Job(**row._mapping) for row in await connection.execute(taken)]
    return sorted(jobs, key=lambda job: (job.created_at, job.id))


async def _held(connection: AsyncConnection, job: Job, **values: str | float | ColumnElement[int] | None) -> bool:
    mine = and_(_table.c.id == job.id, _table.c.state == "running", _table.c.attempts == job.attempts)
    return (await connection.execute(update(_table).where(mine).values(**values))).rowcount == 1


async def _one(connection: AsyncConnection, condition: ColumnElement[bool]) -> Job:
    job = await fetch_one(connection, select(*_COLUMNS).where(condition), Job)
    if job is None:
        raise NotFound("No such job")
    return job
