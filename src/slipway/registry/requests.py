"""Asynchronous calls: what they were given, and the one outcome that each has."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import NoSuchRequest
from slipway.ids import new_id
from slipway.registry import schema
from slipway.registry.rows import chunks, insert_all_new
from slipway.types import AsyncCall, JobState, Outcome

JOB_KIND = "call"
_UNLIMITED = 2**31  # attempts: whoever runs a call may be killed as often as it likes

AHEAD = 4  # of what runs at a time: as many more are loaded, or their outcomes being written

_table, _jobs = schema.requests, schema.jobs
_SETTLE = (
    update(_table)
    .where(_table.c.id == bindparam("its_id"))
    .values(
        state="settled",
        outcome=bindparam("new_outcome"),
        result=bindparam("new_result"),
        finished_at=bindparam("now"),
    )
)
_encode = msgspec.msgpack.encode
_decode_call = msgspec.msgpack.Decoder(AsyncCall).decode
_decode_outcome = msgspec.msgpack.Decoder(Outcome).decode


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An asynchronous call as it stands. Of input and result None where these lie in files."""

    call: AsyncCall
    state: Literal["pending", "settled", "recorded"]
    input: bytes | None = None
    outcome: Outcome | None = None
    result: bytes | None = None
    created_at: float
    finished_at: float | None = None


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome that is to be kept."""

    request_id: str
    outcome: Outcome
    result: bytes | None  # None: in a file, or there is none


async def add(connection: AsyncConnection, calls: Sequence[tuple[AsyncCall, bytes | None]]) -> set[str]:
    """New calls, each with its job; the ids of those that were not known yet. An input of None lies in a file."""
    now = time.time()
    rows = [
        {
            "id": call.request_id,
            "caller": call.caller,
            "version_id": call.version_id,
            "state": "pending",
            "call": _encode(call),
            "input": body,
            "created_at": now,
        }
        for call, body in calls
    ]
    fresh = await insert_all_new(connection, _table, rows)
    jobs = [_job(call, now) for call, _ in calls if call.request_id in fresh]
    if jobs:
        await connection.execute(insert(_jobs), jobs)
    return fresh


async def known(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    """Those of the ids that are taken."""
    found: set[str] = set()
    for some in chunks(ids):
        found |= set((await connection.execute(select(_table.c.id).where(_table.c.id.in_(some)))).scalars())
    return found


async def load(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, tuple[Request, bool]]:
    """Calls by id, those that are there, and whether the version for which each was admitted still is."""
    deployed = schema.versions.c.id.is_not(None).label("deployed")
    joined = _table.outerjoin(schema.versions, schema.versions.c.id == _table.c.version_id)
    found: dict[str, tuple[Request, bool]] = {}
    for some in chunks(ids):
        wanted = select(_table, deployed).select_from(joined).where(_table.c.id.in_(some))
        for row in await connection.execute(wanted):
            found[row.id] = (_request(row), bool(row.deployed))
    return found


async def get(connection: AsyncConnection, request_id: str) -> Request:
    """The call with that id; raises NoSuchRequest."""
    row = (await connection.execute(select(_table).where(_table.c.id == request_id))).first()
    if row is None:
        raise NoSuchRequest(f"there is no request {request_id[:100]}, or it is older than results are kept")
    return _request(row)


async def job_state(connection: AsyncConnection, request_id: str) -> JobState | None:
    """How far the job of a pending call is."""
    mine = select(_jobs.c.state).where(_jobs.c.kind == JOB_KIND, _jobs.c.idempotency_key == request_id)
    return (await connection.execute(mine)).scalar_one_or_none()


async def settle(connection: AsyncConnection, settlements: Sequence[Settlement]) -> set[str]:
    """Keep outcomes and end the jobs; the ids of those that had none before: the first outcome stays the only one."""
    first: dict[str, dict[str, Any]] = {}
    ids = [one.request_id for one in settlements]
    pending = await _pending(connection, ids)
    for one in settlements:
        if one.request_id in pending:
            kept = {"its_id": one.request_id, "new_outcome": _encode(one.outcome), "new_result": one.result}
            first.setdefault(one.request_id, kept)
    if first:
        await connection.execute(_SETTLE, [{**one, "now": time.time()} for one in first.values()])
    await end_jobs(connection, ids)
    return set(first)


async def mark_recorded(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Their outcomes stand in the journal: they may be seen."""
    for some in chunks(ids):
        await connection.execute(update(_table).where(_table.c.id.in_(some)).values(state="recorded"))


async def in_state(
    connection: AsyncConnection, state: str, since: float = 0.0, until: float = math.inf, limit: int = 10_000
) -> list[Request]:
    """The calls in a state that were made within that time, without their inputs and results; newest first."""
    columns = [column for column in _table.columns if column.name not in ("input", "result")]
    wanted = select(*columns).where(_table.c.state == state, _table.c.created_at >= since)
    if until < math.inf:
        wanted = wanted.where(_table.c.created_at < until)
    return [_request(row) for row in await connection.execute(wanted.order_by(_table.c.created_at.desc()).limit(limit))]


async def ended_before(connection: AsyncConnection, moment: float, limit: int) -> list[str]:
    """Ids of calls that ended before then and whose outcome is on record."""
    old = select(_table.c.id).where(_table.c.finished_at < moment, _table.c.state == "recorded").limit(limit)
    return list((await connection.execute(old)).scalars())


async def end_jobs(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """There is nothing left to run."""
    for some in chunks(ids):
        mine = delete(_jobs).where(_jobs.c.kind == JOB_KIND, _jobs.c.idempotency_key.in_(some))
        await connection.execute(mine)


async def remove(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Forget calls, and their jobs if they still have them."""
    await end_jobs(connection, ids)
    for some in chunks(ids):
        await connection.execute(delete(_table).where(_table.c.id.in_(some)))


async def _pending(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for some in chunks(ids):
        wanted = select(_table.c.id).where(_table.c.id.in_(some), _table.c.state == "pending").with_for_update()
        found |= set((await connection.execute(wanted)).scalars())
    return found


def _job(call: AsyncCall, now: float) -> dict[str, Any]:
    return {
        "id": new_id(),
        "kind": JOB_KIND,
        "idempotency_key": call.request_id,
        "state": "queued",
        "payload": {},
        "attempts": 0,
        "max_attempts": _UNLIMITED,
        "not_before": 0.0,
        "error": "",
        "created_at": now,
        "lane": call.version_id,
        "lane_limit": call.at_once * AHEAD,
    }


def _request(row: Row[Any]) -> Request:
    values = row._mapping
    outcome = values["outcome"]
    return Request(
        call=_decode_call(values["call"]),
        state=values["state"],
        input=values.get("input"),
        outcome=None if outcome is None else _decode_outcome(outcome),
        result=values.get("result"),
        created_at=values["created_at"],
        finished_at=values["finished_at"],
    )
