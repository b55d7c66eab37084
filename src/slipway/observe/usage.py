"""Usage by hour, algorithm, version and caller, in the observer's own database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from slipway.journal.reader import Cursor
from slipway.journal.records import CallRecord, Entry

_SCHEMA = """
CREATE TABLE IF NOT EXISTS usage (
    hour INTEGER, algorithm TEXT, version TEXT, caller TEXT,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, duration_us INTEGER NOT NULL, error_duration_us INTEGER NOT NULL,
    PRIMARY KEY (hour, algorithm, version, caller)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors (
    writer TEXT PRIMARY KEY, segment INTEGER NOT NULL, position INTEGER NOT NULL, sequence INTEGER NOT NULL
) STRICT;
"""
_ADD = """
INSERT INTO usage VALUES (?, ?, ?, ?, 1, ?, ?, ?) ON CONFLICT DO UPDATE SET
    calls = calls + 1, errors = errors + excluded.errors, duration_us = duration_us + excluded.duration_us,
    error_duration_us = error_duration_us + excluded.error_duration_us
"""


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one caller to one version within one hour (Unix seconds of its start)."""

    hour: int
    algorithm: str
    version: str
    caller: str
    calls: int
    errors: int
    duration_us: int
    error_duration_us: int


class UsageStore:
    """Rollups and the cursors up to which they count, changed in one transaction: each record counts once."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = "ro" if read_only else "rwc"
        self._database = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None)
        if not read_only:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(_SCHEMA)

    def cursors(self) -> dict[str, Cursor]:
        """How far each writer's journal is counted."""
        rows = self._database.execute("SELECT writer, segment, position, sequence FROM cursors")
        return {writer: Cursor(*position) for writer, *position in rows}

    def add(self, writer: str, entries: list[Entry], cursor: Cursor) -> None:
        """Count the calls among `entries`, and remember that it was done."""
        rows = [_row(entry.record) for entry in entries if _counts(entry)]  # type: ignore[arg-type]
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(_ADD, rows)
        place = (writer, cursor.segment, cursor.offset, cursor.sequence)
        self._database.execute("REPLACE INTO cursors VALUES (?, ?, ?, ?)", place)
        self._database.execute("COMMIT")

    def rows(self, since: float = 0.0) -> list[UsageRow]:
        """All rollups of the hours from `since` on."""
        found = self._database.execute("SELECT * FROM usage WHERE hour >= ? ORDER BY hour, algorithm", (since - 3600,))
        return [UsageRow(**dict(zip(UsageRow.__struct_fields__, row, strict=True))) for row in found]

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _counts(entry: Entry) -> bool:
    return isinstance(entry.record, CallRecord) and entry.record.phase != "start"


def _row(record: CallRecord) -> tuple[int, str, str, str, int, int, int]:
    failed = 1 if record.error_type else 0
    hour = int(record.time) // 3600 * 3600
    duration = record.duration_us
    return hour, record.algorithm, record.version, record.caller, failed, duration, duration * failed
