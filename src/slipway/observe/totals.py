"""Sums over the rollups of usage, as reports ask for them."""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

Grouping = Literal["full", "algorithms", "users"]

_COLUMNS = {
    "full": ("caller", "algorithm", "version", "machine_type"),
    "algorithms": ("algorithm", "version", "machine_type"),
    "users": ("caller",),
}
_SUMS = "SUM(calls), SUM(errors), SUM(duration_us), SUM(error_duration_us)"


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """Calls over a span of time; what a grouping does not tell apart is empty."""

    caller: str = ""
    algorithm: str = ""  # owner/name
    version: str = ""
    machine_type: str = ""
    calls: int
    errors: int
    duration_us: int
    error_duration_us: int


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Which hours count, from the one with `since` to the one before `until` (Unix seconds), and whose calls."""

    since: float = 0.0
    until: float = float("inf")
    caller: str = ""
    owner: str = ""  # of the algorithms


def totals(database: sqlite3.Connection, grouping: Grouping, span: Span) -> list[Total]:
    """The sums, in the order of what they are grouped by."""
    columns = _COLUMNS[grouping]
    names = ", ".join(columns)
    where = "WHERE hour > ? AND hour < ?"
    values: list[object] = [span.since - 3600, span.until]
    if span.caller:
        where, values = f"{where} AND caller = ?", [*values, span.caller]
    if span.owner:
        where, values = f"{where} AND algorithm > ? AND algorithm < ?", [*values, f"{span.owner}/", f"{span.owner}0"]
    # The names are this module's own; what callers give is bound.
    query = f"SELECT {names}, {_SUMS} FROM usage {where} GROUP BY {names} ORDER BY {names}"  # noqa: S608
    fields = (*columns, "calls", "errors", "duration_us", "error_duration_us")
    return [Total(**dict(zip(fields, row, strict=True))) for row in database.execute(query, values)]
