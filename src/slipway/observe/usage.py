"""Usage by hour, algorithm, version and caller, in the observer's own database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from slipway.journal.reader import Cursor
from slipway.journal.records import CallRecord, Entry
from slipway.observe import errors
from slipway.observe.errors import FailedCall
from slipway.observe.totals import Grouping, Span, Total, totals

T = TypeVar("T")

_VERSION = 2  # of the tables below; all is derived, so that those of another version are counted anew
_SCHEMA = """
CREATE TABLE IF NOT EXISTS usage (
    hour INTEGER, algorithm TEXT, version TEXT, caller TEXT, machine_type TEXT,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, duration_us INTEGER NOT NULL, error_duration_us INTEGER NOT NULL,
    PRIMARY KEY (hour, algorithm, version, caller, machine_type)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors (
    writer TEXT PRIMARY KEY, segment INTEGER NOT NULL, position INTEGER NOT NULL, sequence INTEGER NOT NULL
) STRICT;
"""
_ADD = """
INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls, errors = errors + excluded.errors,
    duration_us = duration_us + excluded.duration_us, error_duration_us = error_duration_us + excluded.error_duration_us
"""

_Key = tuple[int, str, str, str, str]


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one caller to one version within one hour (Unix seconds of its start)."""

    hour: int
    algorithm: str
    version: str
    caller: str
    machine_type: str  # CPU or GPU, by what the calls used
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

    def add(self, writer: str, entries: Sequence[Entry], cursor: Cursor) -> None:
        """Count the calls among `entries`, note those that failed, and remember that it was done.

        Raises sqlite3.Error, having counted nothing.
        """
        self._database.execute("BEGIN IMMEDIATE")
        try:
            errors.add(self._database, entries)
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

    def totals(self, grouping: Grouping, span: Span) -> list[Total]:
        """The rollups of a span of time, summed."""
        return totals(self._database, grouping, span)

    def failed(self, limit: int, *, algorithm: str = "", owner: str = "") -> list[FailedCall]:
        """The newest failed calls of an algorithm, or of all of an owner's."""
        if algorithm:
            return errors.of_algorithm(self._database, algorithm, limit)
        return errors.of_owner(self._database, owner, limit)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _migrate(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            for table in ("usage", "cursors", "errors"):
                self._database.execute(f"DROP TABLE IF EXISTS {table}")
        self._database.executescript(_SCHEMA + errors.SCHEMA)
        self._database.execute(f"PRAGMA user_version = {_VERSION}")


def read_usage(path: Path, since: float = 0.0) -> list[UsageRow]:
    """The rollups in an observer's database, which may be counting at this moment; none where there is none yet."""
    return _read(path, lambda store: store.rows(since))


def read_totals(path: Path, grouping: Grouping, span: Span) -> list[Total]:
    """Their sums over a span of time."""
    return _read(path, lambda store: store.totals(grouping, span))


def read_errors(path: Path, limit: int, *, algorithm: str = "", owner: str = "") -> list[FailedCall]:
    """The newest failed calls there, of an algorithm or of all of an owner's, newest first."""
    return _read(path, lambda store: store.failed(limit, algorithm=algorithm, owner=owner))


def _read(path: Path, ask: Callable[[UsageStore], list[T]]) -> list[T]:
    if not path.exists():
        return []
    store = UsageStore(path, read_only=True)
    try:
        return ask(store)
    except sqlite3.OperationalError:  # made a moment ago, without tables
        return []
    finally:
        store.close()


def _totals(entries: Iterable[Entry]) -> dict[_Key, list[int]]:
    """Calls, errors, duration and duration of errors by hour, algorithm, version, caller and type of machine."""
    totals: dict[_Key, list[int]] = {}
    for entry in entries:
        record = entry.record
        if not isinstance(record, CallRecord) or record.phase == "start":
            continue
        machine_type = "GPU" if record.gpu_us else "CPU"
        key = (int(record.time) // 3600 * 3600, record.algorithm, record.version, record.caller, machine_type)
        sums = totals.setdefault(key, [0, 0, 0, 0])
        failed = 1 if record.error_type else 0
        added = (1, failed, record.duration_us, record.duration_us * failed)
        sums[:] = [total + more for total, more in zip(sums, added, strict=True)]
    return totals
