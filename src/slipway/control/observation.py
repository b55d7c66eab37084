"""What can be seen: the audit, what algorithms print, the platform's state."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from slipway import __version__
from slipway.access.decisions import Action
from slipway.access.principals import Principal
from slipway.control.authentication import administrator, may, themselves
from slipway.control.context import Context, Ctx
from slipway.control.reading import Reading, everything, lines, own
from slipway.errors import CapacityError
from slipway.journal.reader import AuditFilter
from slipway.observe.observer import lag_seconds, usage_path
from slipway.observe.usage import UsageStore, read_usage
from slipway.registry import algorithms, builds, jobs
from slipway.registry.requests import JOB_KIND

router = APIRouter(prefix="/v1", tags=["observation"])

Since = Annotated[float, Query(ge=0, allow_inf_nan=False, description="Unix seconds")]
_NDJSON = "application/x-ndjson"
_RECENT_SECONDS = 24 * 3600


@router.get("/audit", response_class=StreamingResponse)
async def read_audit(
    context: Ctx,
    since: Since = 0.0,
    caller: str = "",
    algorithm: str = "",
    follow: bool = False,
    format: Literal["json"] = "json",
    principal: Principal = themselves(Action.AUDIT),
) -> StreamingResponse:
    """Records, one JSON object a line: one's own calls and those to one's own algorithms; all for an administrator."""
    wanted = AuditFilter(since=since, caller=caller, algorithm=algorithm)
    await context.event(principal, "audit.read", algorithm or caller or "audit")
    return stream(context, Reading(wanted, follow, own(principal.account)))


@router.get("/algorithms/{owner}/{name}/logs", response_class=StreamingResponse)
async def logs(
    owner: str,
    name: str,
    context: Ctx,
    since: Since = 0.0,
    follow: bool = False,
    principal: Principal = may(Action.INSPECT),
) -> StreamingResponse:
    """What the algorithm printed, call by call: one JSON object a line."""
    async with context.store.read() as connection:
        await algorithms.get(connection, owner, name)
    wanted = AuditFilter(since=since, algorithm=f"{owner}/{name}")
    return stream(context, Reading(wanted, follow, everything, printed_only=True))


@router.get("/status")
async def status(context: Ctx, principal: Principal = administrator()) -> dict[str, Any]:
    """The platform's state."""
    async with context.store.read() as connection:
        building = [build.id for build in await builds.in_progress(connection)]
        asynchronous = await jobs.standing(connection, JOB_KIND)
    return {
        "version": __version__,
        "url": context.settings.public_url,
        "journal": "healthy" if context.journal.healthy else "cannot be written",
        "revision": await context.store.revision(),
        "feeds": context.feeds.readers,
        "builds_in_progress": building,
        "asynchronous_calls": asynchronous,
        **await _host(context),
        "observer_lag_seconds": round(_observer_lag(context), 1),
        "usage": _usage(context),
    }


def stream(context: Context, reading: Reading) -> StreamingResponse:
    """Records as lines of JSON."""
    content = context.stopping.until(lines(context.settings.journal_directory, reading))
    return StreamingResponse(content, media_type=_NDJSON)


async def _host(context: Context) -> dict[str, Any]:
    try:
        inspected = await context.hosts.inspect(2.0)
    except (CapacityError, TimeoutError):
        return {"host": "down", "zygotes": 0, "templates": 0, "replicas": []}
    replicas = [{name: getattr(one, name) for name in one.__struct_fields__} for one in inspected.replicas]
    memory = {"taken_bytes": inspected.memory_bytes, "limit_bytes": inspected.memory_limit_bytes}
    parents = {"zygotes": inspected.zygotes, "templates": inspected.templates}
    return {"host": "up", **parents, "worker_memory": memory, "replicas": replicas}


def _usage(context: Context) -> list[dict[str, Any]]:
    """The last day's calls by algorithm, as far as the observer has counted."""
    totals: dict[str, dict[str, Any]] = {}
    for row in read_usage(usage_path(context.settings), time.time() - _RECENT_SECONDS):
        empty = {"algorithm": row.algorithm, "calls": 0, "errors": 0, "duration_us": 0}
        total = totals.setdefault(row.algorithm, empty)
        total["calls"] += row.calls
        total["errors"] += row.errors
        total["duration_us"] += row.duration_us
    return list(totals.values())


def _observer_lag(context: Context) -> float:
    """How old the oldest record is that the observer has not counted yet, in seconds."""
    path = usage_path(context.settings)
    if not path.exists():
        return 0.0
    store = UsageStore(path, read_only=True)
    try:
        return lag_seconds(context.settings.journal_directory, store.cursors())
    finally:
        store.close()
