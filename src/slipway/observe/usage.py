"""Usage by hour, algorithm, version and caller, in the observer's own database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec

from slipway.journal.reader import Cursor
from slipway.journal.records import CallRecord, Entry

_VERSION = 1  # of the tables below; all is derived, so that those of another version are counted anew
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
INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls, errors = errors + excluded.errors,
    duration_us = duration_us + excluded.duration_us, error_duration_us = error_duration_us + excluded.error_duration_us
"""

_Key = tuple[int, str, str, str]


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
        mode = "ro" if read_only else "rwc"
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None)
        if not read_only:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._migrate()

    def cursors(self) -> dict[str, Cursor]:
        """How far each writer's journal is counted."""
        rows = self._database.execute("SELECT writer, segment, position, sequence FROM cursors")
        return {writer: Cursor(*position) for writer, *position in rows}

    def add(self, writer: str, entries: Iterable[Entry], cursor: Cursor) -> None:
        """Count the calls among `entries`, and remember that it was done. Raises sqlite3.Error, nothing counted."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(_ADD, [(*key, *sums) for key, sums in _totals(entries).items()])
            place = (writer, cursor.segment, cursor.offset, cursor.sequence)
            self._database.execute("REPLACE INTO cursors VALUES (?, ?, ?, ?)", place)
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def rows(self, since: float = 0.0) -> list[UsageRow]:
        """All rollups of the hours from the one with `since` (Unix seconds) on."""
        found = self._database.execute("SELECT * FROM usage WHERE hour > ? ORDER BY hour, algorithm", (since - 3600,))
        return [UsageRow(**dict(zip(UsageRow.__struct_fields__, row, strict=True))) for row in found]

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _migrate(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            self._database.executescript("DROP TABLE IF EXISTS usage; DROP TABLE IF EXISTS cursors;")
        self._database.executescript(_SCHEMA)
        self._database.execute(f"PRAGMA user_version = {_VERSION}")


def read_usage(path: Path, since: float = 0.0) -> list[UsageRow]:
    """The rollups in an observer's database, which may be counting at this moment; none where there is none yet."""
    if not path.exists():
        return []
    store = UsageStore(path, read_only=True)
    try:
        return store.rows(since)
    except sqlite3.OperationalError:  # made a moment ago, without tables
        return []
    finally:
        store.close()


def _totals(entries: Iterable[Entry]) -> dict[_Key, list[int]]:
    """Calls, errors, duration and duration of errors by hour, algorithm, version and caller."""
    totals: dict[_Key, list[int]] = {}
    for entry in entries:
        record = entry.record
        if not isinstance(record, CallRecord) or record.phase == "start":
            continue
        key = (int(record.time) // 3600 * 3600, record.algorithm, record.version, record.caller)
        sums = totals.setdefault(key, [0, 0, 0, 0])
        failed = 1 if record.error_type else 0
        added = (1, failed, record.duration_us, record.duration_us * failed)
        sums[:] = [total + more for total, more in zip(sums, added, strict=True)]
    return totals
