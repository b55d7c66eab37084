"""What the journal records. Field names on disk are short and fixed; readers carry unknown ones through."""

from __future__ import annotations

import time
from typing import Any, Literal

import msgspec

from slipway.ids import new_id_bytes

Phase = Literal["call", "start", "end"]


class CallRecord(
    msgspec.Struct,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag="call",
    tag_field="k",
    rename={
        "time": "t",
        "call_id": "id",
        "parent_id": "pa",
        "root_id": "ro",
        "phase": "ph",
        "caller": "ca",
        "origin": "or",
        "key_id": "ke",
        "algorithm": "al",
        "version": "ve",
        "version_id": "vi",
        "arm": "ar",
        "replica": "re",
        "cold_start": "co",
        "status": "st",
        "error_type": "er",
        "duration_us": "du",
        "queue_us": "qu",
        "cpu_us": "cp",
        "gpu_us": "gp",
        "peak_memory": "me",
        "input_size": "is",
        "input_type": "it",
        "input_digest": "ih",
        "result_size": "rs",
        "result_type": "rt",
        "result_digest": "rh",
        "gateway": "gw",
        "job": "jo",
    },
):
    """One call that was answered; or its start or end, where these are recorded apart."""

    time: float  # Unix seconds, UTC, when it ended (phase start: began)
    call_id: bytes  # UUIDv7; its text is the request id
    root_id: bytes  # of the call tree; its own id for a root
    parent_id: bytes = b""
    phase: Phase = "call"
    caller: str = ""
    origin: str = ""  # the account that called the root
    key_id: str = ""
    algorithm: str = ""  # owner/name
    version: str = ""  # semantic version, or commit hash
    version_id: str = ""
    arm: str = ""
    replica: str = ""
    cold_start: bool = False
    status: int = 200  # HTTP; 499: the caller had gone
    error_type: str = ""
    duration_us: int = 0
    queue_us: int = 0
    cpu_us: int = 0
    gpu_us: int = 0
    peak_memory: int = 0  # bytes
    input_size: int = 0  # bytes
    input_type: str = ""
    input_digest: bytes = b""  # SHA-256 of salt and input; the salt lies with the payload
    result_size: int = 0
    result_type: str = ""
    result_digest: bytes = b""
    gateway: str = ""
    job: bool = False  # durable: it survives whoever wrote its start, and ends another day


class EventRecord(
    msgspec.Struct,
    kw_only=True,
    omit_defaults=True,
    tag="event",
    tag_field="k",
    rename={
        "time": "t",
        "event_id": "id",
        "actor": "ac",
        "verb": "vb",
        "resource": "rc",
        "outcome": "oc",
        "detail": "de",
    },
):
    """Something that happened apart from calls: a change, a refusal, a replica's end."""

    time: float
    event_id: bytes
    actor: str = ""  # account, or the platform's process
    verb: str
    resource: str
    outcome: str = "done"  # done, refused, failed
    detail: dict[str, str] = {}


Record = CallRecord | EventRecord


class Payload(
    msgspec.Struct,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    rename={"call_id": "id", "input": "i", "result": "r", "stdout": "o", "salt": "s"},
):
    """What a call was given and answered, kept apart from its record so that it can be erased."""

    call_id: bytes
    input: bytes | None = None  # None: not kept, its digest stands in the record
    result: bytes | None = None
    stdout: bytes = b""
    salt: bytes = b""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record as a reader finds it."""

    writer: str
    sequence: int  # of its frame
    record: Record
    unknown: dict[str, Any] = {}  # fields of a later version


_KINDS: dict[str, type[CallRecord] | type[EventRecord]] = {"call": CallRecord, "event": EventRecord}
_NAMES = {kind: {f.encode_name for f in msgspec.structs.fields(kind)} | {"k"} for kind in _KINDS.values()}
_encode = msgspec.msgpack.Encoder().encode
_decode_records = msgspec.msgpack.Decoder(list[Record]).decode
_decode_maps = msgspec.msgpack.Decoder(list[dict[str, Any]]).decode

encode_record = _encode
encode_payloads = _encode
decode_payloads = msgspec.msgpack.Decoder(list[Payload]).decode


def new_event(actor: str, verb: str, resource: str, outcome: str, detail: dict[str, str]) -> EventRecord:
    """An event that happened now."""
    return EventRecord(
        time=time.time(),
        event_id=new_id_bytes(),
        actor=actor,
        verb=verb,
        resource=resource,
        outcome=outcome,
        detail=detail,
    )


def decode_records(data: bytes) -> list[tuple[Record, dict[str, Any]]]:
    """A frame's records, each with the fields that this version has no name for. Raises msgspec.MsgspecError."""
    try:
        records = _decode_records(data)
    except msgspec.ValidationError:
        return _decode_later(data)
    # What encodes to the same bytes again holds nothing unknown: cheaper than to decode every record as a map.
    if _encode(records) != data:
        return _decode_later(data)
    return [(record, {}) for record in records]


def _decode_later(data: bytes) -> list[tuple[Record, dict[str, Any]]]:
    return [_from_map(fields) for fields in _decode_maps(data)]


def _from_map(fields: dict[str, Any]) -> tuple[Record, dict[str, Any]]:
    kind = _KINDS.get(str(fields.get("k")))
    if kind is None:
        return _of_later_kind(fields)
    unknown = {name: value for name, value in fields.items() if name not in _NAMES[kind]}
    return msgspec.convert(fields, kind), unknown


def _of_later_kind(fields: dict[str, Any]) -> tuple[Record, dict[str, Any]]:
    """Every kind has a time and an id: enough for an event that says what it was."""
    known = {"t": fields.get("t"), "id": fields.get("id"), "vb": f"record.{fields.get('k')}", "rc": ""}
    return msgspec.convert(known, EventRecord), fields
