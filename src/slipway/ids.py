"""UUIDv7 identifiers (RFC 9562, section 5.7): time order is look-up order."""

from __future__ import annotations

import os
import time
import uuid

_AT_ONCE = 512
_tails: list[bytes] = []  # the random parts of ids to come


def new_id_bytes() -> bytes:
    """A fresh UUIDv7 as 16 bytes: 48 bits of Unix milliseconds, then 74 random bits."""
    head = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    try:
        return head + _tails.pop()
    except IndexError:
        # One system call feeds 512 ids: this runs once a call.
        _tails.extend(_random_tails())
        return head + _tails.pop()


def _random_tails() -> list[bytes]:
    random = bytearray(os.urandom(10 * _AT_ONCE))
    random[0::10] = bytes([0x70 | byte & 0x0F for byte in random[0::10]])  # version 7
    random[2::10] = bytes([0x80 | byte & 0x3F for byte in random[2::10]])  # variant
    return [bytes(random[start : start + 10]) for start in range(0, len(random), 10)]


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
