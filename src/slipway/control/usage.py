"""Usage by caller, algorithm and version, as the observer has counted it in the journal."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from slipway.access.principals import Principal
from slipway.control.authentication import administrator
from slipway.control.context import Context, Ctx
from slipway.errors import BadMarker, InputError
from slipway.observe.observer import usage_path
from slipway.observe.totals import Grouping, Span, Total
from slipway.observe.usage import read_totals

router = APIRouter(prefix="/v1/admin/usage", tags=["usage"])

_SECOND = 1_000_000  # microseconds


class Sums(BaseModel):
    """What was counted; durations in seconds."""

    total_calls: int
    total_errors: int
    total_error_duration: float
    total_duration: float


class UserRow(Sums):
    """One caller's calls."""

    caller: str


class AlgorithmRow(Sums):
    """The calls of one version."""

    algorithm_called: str
    algorithm_owner: str
    algorithm_version: str
    machine_type: str


class FullRow(AlgorithmRow):
    """One caller's calls of one version."""

    caller: str


class FullUsage(BaseModel):
    """One page of usage by caller and version."""

    results: list[FullRow]
    next_marker: str | None


class AlgorithmUsage(BaseModel):
    """One page of usage by version."""

    results: list[AlgorithmRow]
    next_marker: str | None


class UserUsage(BaseModel):
    """One page of usage by caller."""

    results: list[UserRow]
    next_marker: str | None


class Wanted(msgspec.Struct, frozen=True):
    """What the query of a report asks for."""

    user: str
    since: float
    until: float
    marker: str | None
    page_size: int


def _wanted(
    user: Annotated[str, Query(max_length=200, description="the caller; the owner in a report by algorithm")] = "",
    start_date: Annotated[str, Query(max_length=40, description="ISO 8601; UTC unless it says otherwise")] = "",
    end_date: Annotated[str, Query(max_length=40, description="ISO 8601; a day's name includes the day")] = "",
    marker: Annotated[str | None, Query(max_length=2000)] = None,
    page_size: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Wanted:
    since = _moment("start_date", start_date) if start_date else 0.0
    until = _moment("end_date", end_date, end=True) if end_date else float("inf")
    return Wanted(user, since, until, marker, page_size)


Report = Annotated[Wanted, Depends(_wanted)]


@router.get("")
async def full_usage(context: Ctx, wanted: Report, principal: Principal = administrator()) -> FullUsage:
    """Usage by caller and version, from whole hours."""
    found, marker = await _page(context, "full", wanted, Span(caller=wanted.user))
    return FullUsage(results=[FullRow(caller=one.caller, **_version(one)) for one in found], next_marker=marker)


@router.get("/algorithms")
async def usage_by_algorithm(context: Ctx, wanted: Report, principal: Principal = administrator()) -> AlgorithmUsage:
    """Usage by version, from whole hours."""
    found, marker = await _page(context, "algorithms", wanted, Span(owner=wanted.user))
    return AlgorithmUsage(results=[AlgorithmRow(**_version(one)) for one in found], next_marker=marker)


@router.get("/users")
async def usage_by_user(context: Ctx, wanted: Report, principal: Principal = administrator()) -> UserUsage:
    """Usage by caller, from whole hours."""
    found, marker = await _page(context, "users", wanted, Span(caller=wanted.user))
    return UserUsage(results=[UserRow(caller=one.caller, **_sums(one)) for one in found], next_marker=marker)


async def _page(context: Context, grouping: Grouping, wanted: Wanted, span: Span) -> tuple[list[Total], str | None]:
    span = msgspec.structs.replace(span, since=wanted.since, until=wanted.until)
    found = await asyncio.to_thread(read_totals, usage_path(context.settings), grouping, span)
    start = 0
    if wanted.marker is not None:
        marks = [_mark(one) for one in found]
        if wanted.marker not in marks:
            raise BadMarker("unknown marker: use the `next_marker` of the previous page")
        start = marks.index(wanted.marker) + 1
    shown = found[start : start + wanted.page_size]
    return shown, _mark(shown[-1]) if start + wanted.page_size < len(found) else None


def _mark(total: Total) -> str:
    """What a row is grouped by, in a form that no client reads meaning into."""
    names = msgspec.json.encode((total.caller, total.algorithm, total.version, total.machine_type))
    return base64.urlsafe_b64encode(names).decode()


def _version(total: Total) -> dict[str, Any]:
    owner, _, name = total.algorithm.partition("/")
    return {
        "algorithm_called": name,
        "algorithm_owner": owner,
        "algorithm_version": total.version,
        "machine_type": total.machine_type,
        **_sums(total),
    }


def _sums(total: Total) -> dict[str, Any]:
    return {
        "total_calls": total.calls,
        "total_errors": total.errors,
        "total_error_duration": total.error_duration_us / _SECOND,
        "total_duration": total.duration_us / _SECOND,
    }


def _moment(name: Literal["start_date", "end_date"], text: str, end: bool = False) -> float:
    """Unix seconds. Raises InputError."""
    try:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise InputError(f"{name}: {text!r} is no date: write it like 2026-11-24 or 2026-11-24T10:00:00Z") from error
    return seconds + 24 * 3600 if end and len(text) <= len("2026-11-24") else seconds
