"""Frames of the worker protocol, version 1: see docs/reference/worker-protocol.md.

Standard library only and Python 3.9: the same file serves the platform (through `slipway.wire`) and the runners.
"""

from __future__ import annotations

import struct
from typing import Dict, List, NamedTuple, Tuple

PROTOCOL_VERSION = 1
MAX_CHUNK = 256 * 1024  # bytes of body in one frame
NO_CALL = bytes(16)  # the call id of frames that belong to no call

# protocol version, kind (its high bit: more chunks follow), header bytes, body bytes, call id
HEADER = struct.Struct("!BBHI16s")
MORE = 0x80
OVERSIZED = 0x100  # added to the kind of a frame whose body was dropped; never on the wire

HELLO, READY, CREDIT, CALL, ACCEPTED, REPLY, ERROR, STREAM_ITEM, STREAM_END = range(1, 10)
CALL_OUT, CALL_OUT_REPLY, LOG, CANCEL, STOP = range(11, 16)


class ProtocolError(Exception):
    """The other side sent something that is no frame of this protocol; the connection cannot be used further."""


class Frame(NamedTuple):
    """One whole frame, its chunks joined. `header` stays encoded until `decode_fields` is asked for it."""

    kind: int
    call: bytes  # 16 bytes
    header: bytes
    body: bytes


_new = tuple.__new__  # what `Frame(…)` comes to, without a call of Python's


def encode_fields(fields: Dict[str, str]) -> bytes:
    """Key/value pairs: u8 key length, key, u16 value length, value; all UTF-8. Raises ValueError if too long."""
    parts = []
    for key, value in fields.items():
        name, text = key.encode(), value.encode("utf-8", "replace")
        parts.append(bytes((len(name),)) + name + len(text).to_bytes(2, "big") + text)
    encoded = b"".join(parts)
    if len(encoded) > 0xFFFF:
        raise ValueError("header fields exceed 65535 bytes")
    return encoded


def decode_fields(header: bytes) -> Dict[str, str]:
    """The reverse of `encode_fields`; raises ProtocolError on a header that is cut off or not UTF-8."""
    fields, position, end = {}, 0, len(header)
    try:
        while position < end:
            split = position + 1 + header[position]
            start = split + 2
            stop = start + int.from_bytes(header[split:start], "big")
            if stop > end:
                raise ProtocolError("header field is cut off")
            fields[header[position + 1 : split].decode()] = header[start:stop].decode()
            position = stop
    except UnicodeDecodeError as error:
        raise ProtocolError("header field is not UTF-8") from error
    return fields


def encode(kind: int, call: bytes = NO_CALL, header: bytes = b"", body: bytes = b"") -> bytes:
    """One frame, or as many chunks as its body needs; `header` comes from `encode_fields`."""
    if len(body) <= MAX_CHUNK:
        return HEADER.pack(PROTOCOL_VERSION, kind, len(header), len(body), call) + header + body
    chunks = []
    view = memoryview(body)
    for start in range(0, len(body), MAX_CHUNK):
        chunk = view[start : start + MAX_CHUNK]
        more = MORE if start + MAX_CHUNK < len(body) else 0
        head = header if start == 0 else b""
        chunks.append(HEADER.pack(PROTOCOL_VERSION, kind | more, len(head), len(chunk), call) + head)
        chunks.append(bytes(chunk))
    return b"".join(chunks)


class Decoder:
    """Turns the bytes of a stream into frames, joining the chunks of each call."""

    def __init__(self, max_body: int = 64 * 1024 * 1024, drop_oversized: bool = False) -> None:
        self._buffer = b""
        self._partial: Dict[Tuple[int, bytes], Tuple[bytes, List[bytes], int]] = {}
        self._max_body = max_body
        self._drop_oversized = drop_oversized

    def feed(self, data: bytes) -> List[Frame]:
        """The frames that `data` completes. Raises ProtocolError on a wrong version or an oversized body.

        With `drop_oversized` a body over the limit is not kept, and its frame comes out as of kind OVERSIZED | kind.
        """
        buffer = self._buffer + data if self._buffer else data
        frames: List[Frame] = []
        position, size = 0, len(buffer)
        while size - position >= 24:
            version, kind, header_length, body_length, call = HEADER.unpack_from(buffer, position)
            if version != PROTOCOL_VERSION or body_length > MAX_CHUNK:
                raise ProtocolError(f"not a frame of protocol {PROTOCOL_VERSION}: {buffer[position : position + 8]!r}")
            body_start = position + 24 + header_length
            end = body_start + body_length
            if end > size:
                break
            header, body = buffer[position + 24 : body_start], buffer[body_start:end]
            position = end
            if kind & MORE or self._partial:
                self._join(frames, kind, call, header, body)
            else:
                frames.append(_new(Frame, (kind, call, header, body)))
        self._buffer = buffer[position:]
        return frames

    def _join(self, frames: List[Frame], kind: int, call: bytes, header: bytes, body: bytes) -> None:
        key = (kind & ~MORE, call)
        first_header, chunks, size = self._partial.pop(key, (header, [], 0))
        size += len(body)
        chunks.append(body)
        oversized = size > self._max_body
        if oversized:
            if not self._drop_oversized:
                raise ProtocolError(f"body exceeds {self._max_body} bytes")
            chunks.clear()
        if kind & MORE:
            self._partial[key] = (first_header, chunks, size)
        else:
            frames.append(Frame(key[0] | (OVERSIZED if oversized else 0), call, first_header, b"".join(chunks)))
