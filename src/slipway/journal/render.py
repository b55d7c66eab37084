"""Entries as plain dictionaries: the JSON form of the audit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from slipway.ids import id_text
from slipway.journal.reader import Payloads, follow, read_all
from slipway.journal.records import CallRecord, Entry, Payload

_IDS = ("call_id", "root_id", "parent_id", "event_id")


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What of the journal is asked for."""

    since: float = 0.0  # Unix seconds
    caller: str = ""  # for events: the actor
    algorithm: str = ""  # owner/name, or the name alone

    def passes(self, entry: Entry) -> bool:
        """Whether the entry is asked for."""
        record = entry.record
        calls = isinstance(record, CallRecord)
        who = record.caller if isinstance(record, CallRecord) else record.actor
        what = record.algorithm if isinstance(record, CallRecord) else record.resource
        if self.caller and self.caller not in (who, record.origin if isinstance(record, CallRecord) else ""):
            return False
        if self.algorithm and what != self.algorithm and (what.partition("/")[2] != self.algorithm):
            return False
        return calls or not who.startswith("journal")


def audit(directory: Path, wanted: AuditFilter, following: bool) -> Iterator[list[dict[str, Any]]]:
    """Batches of entries as dictionaries; for ever when `following`, with empty batches in between."""
    payloads = Payloads(directory, wanted.since)
    batches = follow(directory, wanted.since) if following else ([entry] for entry in read_all(directory, wanted.since))
    for batch in batches:
        yield [as_dict(entry, payloads.find(entry)) for entry in batch if wanted.passes(entry)]


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


def _plain(name: str, value: object) -> object:
    if isinstance(value, bytes):
        return id_text(value) if name in _IDS and len(value) == 16 else value.hex()
    return value


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
