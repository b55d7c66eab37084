"""Entries as plain dictionaries: the JSON form of the audit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from slipway.ids import id_text
from slipway.journal.payloads import Payloads
from slipway.journal.reader import AuditFilter as AuditFilter
from slipway.journal.reader import follow, read_all
from slipway.journal.records import CallRecord, Entry, Payload

_IDS = ("call_id", "root_id", "parent_id", "event_id")
_BATCH = 100


def audit(directory: Path, wanted: AuditFilter, following: bool) -> Iterator[list[dict[str, Any]]]:
    """Batches of entries as dictionaries; for ever when `following`, with empty batches in between."""
    payloads = Payloads(directory, wanted.since)
    read = follow if following else _batches
    for batch in read(directory, wanted.since, caller=wanted.caller, algorithm=wanted.algorithm):
        yield [as_dict(entry, payloads.find(entry)) for entry in batch]


def as_dict(entry: Entry, payload: Payload | None) -> dict[str, Any]:
    """Every field of the record, its kind, writer and frame; input and result where they were kept."""
    record = entry.record
    fields = {name: _plain(name, value) for name, value in msgspec.structs.asdict(record).items()}
    kind = "call" if isinstance(record, CallRecord) else "event"
    found = {"kind": kind, "at": _utc(record.time), **fields, "writer": entry.writer, "frame": entry.sequence}
    if isinstance(record, CallRecord):
        found["request_id"] = found["call_id"]
        if payload is not None:
            found["input"], found["result"] = _text(payload.input), _text(payload.result)
            found["stdout"] = _text(payload.stdout)
    return {**found, **{str(name): str(value) for name, value in entry.unknown.items()}}


def _batches(directory: Path, since: float, *, caller: str, algorithm: str) -> Iterator[list[Entry]]:
    entries = read_all(directory, since, caller=caller, algorithm=algorithm)
    while batch := list(itertools.islice(entries, _BATCH)):
        yield batch


def _plain(name: str, value: object) -> object:
    if isinstance(value, bytes):
        return id_text(value) if name in _IDS and len(value) == 16 else value.hex()
    return value


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
