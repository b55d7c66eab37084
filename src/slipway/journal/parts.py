"""A result that comes in parts, as the journal keeps it: never more of it in memory than may be kept."""

from __future__ import annotations

import os
from hashlib import sha256

from slipway.journal.records import CallRecord, Payload

_SALT_BYTES = 16


class Parts:
    """The JSON array of the parts, up to `limit_bytes`; of a longer one only its salted digest; with None, nothing."""

    def __init__(self, limit_bytes: int | None) -> None:
        self.count = 0
        self.size = 0  # bytes of all parts, as they were sent
        self._limit = limit_bytes
        self._salt = os.urandom(_SALT_BYTES)
        self._hash = sha256(self._salt)
        self._kept: bytearray | None = bytearray() if limit_bytes else None

    def add(self, value: bytes, size: int) -> None:
        """One more part: its JSON, and how many bytes were sent."""
        self.count += 1
        self.size += size
        if self._limit is None:
            return
        if self._kept is not None and len(self._kept) + len(value) + 2 > self._limit:
            self._kept = None
        for piece in (b"," if self.count > 1 else b"[", value):
            self._hash.update(piece)
            if self._kept is not None:
                self._kept += piece

    def array(self) -> bytes | None:
        """All of them; None where that is too long to be kept."""
        return None if self._kept is None else bytes(self._kept) + b"]"

    def put(self, record: CallRecord, payload: Payload) -> None:
        """Put digest and payload where those of a result belong."""
        payload.result = self.array()
        if self._limit is not None:
            whole = self._hash.copy()
            whole.update(b"]")
            payload.salt, record.result_digest = self._salt, whole.digest()
