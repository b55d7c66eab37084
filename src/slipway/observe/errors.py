"""The newest failed calls of each algorithm: where in the journal they are, not what they said.

What a call was given and answered may be erased from the journal; here it is only looked up there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from slipway.ids import id_text
from slipway.journal.payloads import Payloads
from slipway.journal.records import CallRecord, Entry

KEPT = 1000  # of each algorithm
SCHEMA = """
CREATE TABLE IF NOT EXISTS errors (
    algorithm TEXT, call_id BLOB, time REAL NOT NULL, version TEXT NOT NULL, caller TEXT NOT NULL,
    status INTEGER NOT NULL, error_type TEXT NOT NULL, duration_us INTEGER NOT NULL,
    writer TEXT NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (algorithm, time, call_id)
) STRICT, WITHOUT ROWID;
"""
_ADD = "REPLACE INTO errors VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TRIM = """
DELETE FROM errors WHERE algorithm = ?1 AND (time, call_id) <= (
    SELECT time, call_id FROM errors WHERE algorithm = ?1 ORDER BY time DESC, call_id DESC LIMIT 1 OFFSET ?2
)
"""
_OF_ALGORITHM = "SELECT * FROM errors WHERE algorithm = ? ORDER BY time DESC, call_id DESC LIMIT ?"
_OF_OWNER = "SELECT * FROM errors WHERE algorithm > ? AND algorithm < ? ORDER BY time DESC, call_id DESC LIMIT ?"


class FailedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that failed."""

    algorithm: str  # owner/name
    call_id: bytes
    time: float  # Unix seconds, when it ended
    version: str
    caller: str
    status: int
    error_type: str
    duration_us: int
    writer: str
    sequence: int  # of its frame in that writer's journal
    message: str = ""  # as far as the journal keeps it
    stdout: str = ""

    @property
    def request_id(self) -> str:
        """The call's id as its caller was told it."""
        return id_text(self.call_id)


def add(database: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Take in the failed calls among `entries`, and forget the oldest beyond `KEPT`. Raises sqlite3.Error."""
    rows = [_row(entry, entry.record) for entry in entries if isinstance(entry.record, CallRecord)]
    # What never reached a version is no error of the algorithm; its name may be anything.
    failed = [row for row in rows if row is not None]
    database.executemany(_ADD, failed)
    database.executemany(_TRIM, [(algorithm, KEPT) for algorithm in {row[0] for row in failed}])


def of_algorithm(database: sqlite3.Connection, algorithm: str, limit: int) -> list[FailedCall]:
    """The newest failed calls of `owner/name`, newest first."""
    return _records(database.execute(_OF_ALGORITHM, (algorithm, limit)))


def of_owner(database: sqlite3.Connection, owner: str, limit: int) -> list[FailedCall]:
    """The newest failed calls of an account's algorithms, newest first."""
    # "0" follows "/": all names that begin with `owner/` lie between the two.
    return _records(database.execute(_OF_OWNER, (f"{owner}/", f"{owner}0", limit)))


def with_messages(directory: Path, calls: Sequence[FailedCall]) -> list[FailedCall]:
    """The calls with what the journal below `directory` keeps of their messages and output."""
    if not calls:
        return []
    payloads = Payloads(directory, min(call.time for call in calls))
    found = {}
    for call in sorted(calls, key=lambda call: (call.writer, call.sequence)):
        # A digest says that a payload may have been kept; whether it was shows where it is looked for.
        record = CallRecord(time=call.time, call_id=call.call_id, root_id=call.call_id, result_digest=b"?")
        payload = payloads.find(Entry(writer=call.writer, sequence=call.sequence, record=record))
        message = (payload.result or b"").decode("utf-8", "replace") if payload else ""
        stdout = payload.stdout.decode("utf-8", "replace") if payload else ""
        found[call.call_id] = msgspec.structs.replace(call, message=message, stdout=stdout)
    return [found[call.call_id] for call in calls]


def _row(entry: Entry, record: CallRecord) -> tuple[object, ...] | None:
    if record.phase == "start" or not record.error_type or not record.version_id:
        return None
    return (
        record.algorithm,
        record.call_id,
        record.time,
        record.version,
        record.caller,
        record.status,
        record.error_type,
        record.duration_us,
        entry.writer,
        entry.sequence,
    )


def _records(rows: Iterable[tuple[object, ...]]) -> list[FailedCall]:
    names = FailedCall.__struct_fields__
    return [FailedCall(**dict(zip(names, row, strict=False))) for row in rows]  # type: ignore[arg-type]
