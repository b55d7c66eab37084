"""UUIDv7 identifiers (RFC 9562, section 5.7): time order is look-up order."""

from __future__ import annotations

import os
import time
import uuid

_RANDOM_BATCH = 10 * 512
_random = b""
_position = 0


def new_id_bytes() -> bytes:
    """A fresh UUIDv7 as 16 bytes: 48 bits of Unix milliseconds, then 74 random bits."""
    global _random, _position
    if _position >= len(_random):
        # One system call feeds 512 ids: this runs once a call.
        _random, _position = os.urandom(_RANDOM_BATCH), 0
    tail = _random[_position : _position + 10]
    _position += 10
    head = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    return head + bytes((0x70 | tail[0] & 0x0F, tail[1], 0x80 | tail[2] & 0x3F)) + tail[3:]


def new_id() -> str:
    """A fresh UUIDv7 in its canonical text form."""
    return id_text(new_id_bytes())


def id_text(value: bytes) -> str:
    """The canonical text of 16 id bytes."""
    pairs = value.hex("-", 2)
    return pairs[:4] + pairs[5:29] + pairs[30:34] + pairs[35:]


def id_bytes(text: str) -> bytes:
    """The 16 bytes of an id's text; raises ValueError on anything else."""
    return uuid.UUID(text).bytes
