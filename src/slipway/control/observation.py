"""What can be seen: the audit, what algorithms print, the platform's state."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from slipway import __version__
from slipway.access.decisions import Action
from slipway.access.principals import Principal
from slipway.control.authentication import administrator, anyone, may
from slipway.control.context import Ctx
from slipway.errors import CapacityError
from slipway.journal.render import AuditFilter, audit
from slipway.observe.observer import lag_seconds, usage_path
from slipway.observe.usage import UsageStore, read_usage
from slipway.registry import algorithms, builds

router = APIRouter(prefix="/v1", tags=["observation"])

Visible = Callable[[dict[str, Any]], bool]
_NDJSON = "application/x-ndjson"
_RECENT_SECONDS = 24 * 3600


@router.get("/audit")
async def read_audit(
    context: Ctx,
    since: float = 0.0,
    caller: str = "",
    algorithm: str = "",
    follow: bool = False,
    principal: Principal = anyone(),
) -> StreamingResponse:
    """Records, one JSON object a line: one's own calls and those to one's own algorithms; all for an administrator."""
    wanted = AuditFilter(since=since, caller=caller, algorithm=algorithm)
    context.event(principal, "audit.read", algorithm or caller or "audit")
    batches = audit(context.settings.journal_directory, wanted, follow)
    return StreamingResponse(_lines(batches, _visible_to(principal)), media_type=_NDJSON)


@router.get("/algorithms/{owner}/{name}/logs")
async def logs(
    owner: str,
    name: str,
    context: Ctx,
    since: float = 0.0,
    follow: bool = False,
    principal: Principal = may(Action.MANAGE),
) -> StreamingResponse:
    """What the algorithm printed, call by call: one JSON object a line."""
    async with context.store.read() as connection:
        await algorithms.get(connection, owner, name)
    wanted = AuditFilter(since=since, algorithm=f"{owner}/{name}")
    batches = audit(context.settings.journal_directory, wanted, follow)
    return StreamingResponse(_lines(batches, lambda record: bool(record.get("stdout"))), media_type=_NDJSON)


@router.get("/status")
async def status(context: Ctx, principal: Principal = administrator()) -> dict[str, Any]:
    """The platform's state."""
    async with context.store.read() as connection:
        building = [build.id for build in await builds.in_progress(connection)]
    try:
        inspected = await context.hosts.inspect(2.0)
        replicas: list[dict[str, Any]] = [
            {name: getattr(replica, name) for name in replica.__struct_fields__} for replica in inspected.replicas
        ]
        host = "up"
    except (CapacityError, TimeoutError):
        replicas, host = [], "down"
    return {
        "version": __version__,
        "url": context.settings.public_url,
        "host": host,
        "journal": "healthy" if context.journal.healthy else "cannot be written",
        "revision": await context.store.revision(),
        "builds_in_progress": building,
        "replicas": replicas,
        "observer_lag_seconds": round(_observer_lag(context), 1),
        "usage": _usage(context),
    }


def _lines(batches: Iterator[list[dict[str, Any]]], visible: Visible) -> Iterator[str]:
    for batch in batches:
        shown = [json.dumps(record) + "\n" for record in batch if visible(record)]
        # An empty line while nothing happens: so a reader that has gone is noticed.
        yield "".join(shown) or "\n"


def _visible_to(principal: Principal) -> Visible:
    account = principal.account
    if account.admin:
        return lambda _record: True

    def visible(record: dict[str, Any]) -> bool:
        if record["kind"] == "event":
            return account.name in (record["actor"], str(record["resource"]).partition("/")[0])
        return account.name in (record["caller"], record["origin"], record["algorithm"].partition("/")[0])

    return visible


def _usage(context: Ctx) -> list[dict[str, Any]]:
    """The last day's calls by algorithm, as far as the observer has counted."""
    totals: dict[str, dict[str, Any]] = {}
    for row in read_usage(usage_path(context.settings), time.time() - _RECENT_SECONDS):
        empty = {"algorithm": row.algorithm, "calls": 0, "errors": 0, "duration_us": 0}
        total = totals.setdefault(row.algorithm, empty)
        total["calls"] += row.calls
        total["errors"] += row.errors
        total["duration_us"] += row.duration_us
    return list(totals.values())


def _observer_lag(context: Ctx) -> float:
    """How old the oldest record is that the observer has not counted yet, in seconds."""
    path = usage_path(context.settings)
    if not path.exists():
        return 0.0
    store = UsageStore(path, read_only=True)
    try:
        return lag_seconds(context.settings.journal_directory, store.cursors())
    finally:
        store.close()
