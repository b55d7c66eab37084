"""The frames that the runner answers with, as bytes."""

from __future__ import annotations

import time
from typing import List

from slipway.sdk.frames import (
    ACCEPTED,
    ERROR,
    HEADER,
    LOG,
    MAX_CHUNK,
    PROTOCOL_VERSION,
    REPLY,
    STREAM_END,
    STREAM_ITEM,
    encode,
    encode_fields,
)
from slipway.workers.runtimes.python import output

_MODULES_LIMIT = 40_000
_pack = HEADER.pack

# A reply's header is the same but for two numbers.
_HEADS = {
    kind: b"\x0ccontent_type" + len(kind).to_bytes(2, "big") + kind + b"\x02us\x00"
    for kind in (b"json", b"text", b"binary")
}


def accepted(call: bytes) -> bytes:
    """The word that a call has begun."""
    return _pack(PROTOCOL_VERSION, ACCEPTED, 0, 0, call)


def reply(call: bytes, kind: bytes, body: bytes, started: int, used: int) -> bytes:
    """A result. `started` is when its call began, `used` the process's CPU time then; nanoseconds."""
    us = b"%d" % ((time.perf_counter_ns() - started) // 1000)
    cpu = b"%d" % ((time.process_time_ns() - used) // 1000)
    header = b"%b%c%b\x06cpu_us\x00%c%b" % (_HEADS[kind], len(us), us, len(cpu), cpu)
    size = len(body)
    if size > MAX_CHUNK:
        return encode(REPLY, call, header, body)
    return _pack(PROTOCOL_VERSION, REPLY, len(header), size, call) + header + body


def result(call: bytes, kind: bytes, body: bytes, us: int, cpu_us: int, batch: int = 1) -> bytes:
    """A result that took `us`, of one call among `batch`; `cpu_us` is the call's share."""
    used = {"us": str(us), "cpu_us": str(cpu_us)}
    if batch > 1:
        used["batch"] = str(batch)
    return encode(REPLY, call, _content_type(kind) + encode_fields(used), body)


def item(call: bytes, kind: bytes, body: bytes) -> bytes:
    """One item of a stream."""
    return encode(STREAM_ITEM, call, _content_type(kind), body)


def stream_end(call: bytes, us: int, cpu_us: int) -> bytes:
    """The end of a stream."""
    return encode(STREAM_END, call, encode_fields({"us": str(us), "cpu_us": str(cpu_us)}))


def error(call: bytes, kind: str, message: str, trace: str, us: int = 0, cpu_us: int = 0, batch: int = 1) -> bytes:
    """A failure, of one call among `batch`; with no call, that of loading."""
    message, trace = output.masked(message), output.masked(trace)
    fields = {"type": kind, "message": message, "us": str(us), "cpu_us": str(cpu_us)}
    if batch > 1:
        fields["batch"] = str(batch)
    return encode(ERROR, call, encode_fields(fields), trace.encode("utf-8", "replace"))


def not_begun(call: bytes) -> bytes:
    """The answer to a call that was cancelled while it waited."""
    return error(call, "TimeoutError", "the call was cancelled before it began", "")


def log(call: bytes, stream: str, text: str) -> bytes:
    """What was printed."""
    return encode(LOG, call, encode_fields({"stream": stream}), text.encode("utf-8", "replace"))


def shortened(modules: List[str]) -> str:
    """As many of the names as fit a header."""
    text = ",".join(modules)
    return text if len(text) < _MODULES_LIMIT else text[:_MODULES_LIMIT].rpartition(",")[0]


def _content_type(kind: bytes) -> bytes:
    return b"\x0ccontent_type" + len(kind).to_bytes(2, "big") + kind
