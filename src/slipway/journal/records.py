"""What the journal records. Field names on disk are short and fixed; readers carry unknown ones through."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Phase = Literal["call", "start", "end"]


class CallRecord(
    msgspec.Struct,
    kw_only=True,
    omit_defaults=True,
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


class Payload(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"call_id": "id", "input": "i", "result": "r"}):
    """What a call was given and answered, kept apart from its record so that it can be erased."""

    call_id: bytes
    input: bytes | None = None
    result: bytes | None = None
    stdout: bytes = b""
    salt: bytes = b""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record as a reader finds it."""

    writer: str
    sequence: int  # of its frame
    record: Record
    unknown: dict[str, Any] = {}  # fields of a later version


_NAMES = {kind: {f.encode_name: f.name for f in msgspec.structs.fields(kind)} for kind in (CallRecord, EventRecord)}
_KINDS: dict[str, type[CallRecord] | type[EventRecord]] = {"call": CallRecord, "event": EventRecord}
_encoder = msgspec.msgpack.Encoder()
_decode_maps = msgspec.msgpack.Decoder(list[dict[str, Any]]).decode
_decode_records = msgspec.msgpack.Decoder(list[Record]).decode

encode_records = _encoder.encode


def decode_records(data: bytes) -> list[Record]:
    """The records of one frame, fields of later versions left out. Raises msgspec.MsgspecError."""
    return _decode_records(data)


def unknown_fields(data: bytes) -> list[dict[str, Any]]:
    """For each record of a frame, what this version has no name for."""
    found = []
    for fields in _decode_maps(data):
        known = _NAMES[_KINDS[fields["k"]]]
        found.append({name: value for name, value in fields.items() if name not in known and name != "k"})
    return found
