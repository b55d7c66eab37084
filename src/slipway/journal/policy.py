"""What is kept of inputs and results: salts, digests, and as much of the payloads as the settings say."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Literal, NamedTuple

from slipway.journal.parts import Parts
from slipway.journal.records import CallRecord, Payload, Record

_SMALL_BYTES = 4096

PolicyName = Literal["none", "digest", "sample", "full"]


class PayloadPolicy(NamedTuple):
    """`none`: not even digests; `digest`: salted digests; `sample`: payloads of a share of calls; `full`: of all."""

    name: PolicyName = "full"
    limit_bytes: int = 4096  # longer inputs and results are kept as digests only, longer output is cut
    sample_rate: float = 0.01

    def seal(self, record: Record, payload: Payload | None, salt: bytes) -> Payload | None:
        """Put digests into a call's record; returns its payload with its salt, cut to what may be kept."""
        if payload is None or self.name == "none" or not isinstance(record, CallRecord):
            return None
        if record.input_digest or (payload.input is None and record.result_digest):
            return payload  # sealed already
        payload.salt = salt = payload.salt or salt
        limit = self.limit_bytes if self._kept() else -1
        if payload.input is not None:
            record.input_digest = _digest(salt, payload.input)
            if len(payload.input) > limit:
                payload.input = None
        if payload.result is not None:
            record.result_digest = _digest(salt, payload.result)
            if len(payload.result) > limit:
                payload.result = None
        if payload.stdout:
            payload.stdout = payload.stdout[: max(limit, 0)]
        return payload

    def parts(self) -> Parts:
        """For a result that comes in parts."""
        limit = {"none": None, "digest": 0}.get(self.name, self.limit_bytes)
        return Parts(limit)

    def _kept(self) -> bool:
        return self.name == "full" or (self.name == "sample" and random.random() < self.sample_rate)  # noqa: S311


def _digest(salt: bytes, data: bytes) -> bytes:
    if len(data) <= _SMALL_BYTES:
        return sha256(salt + data).digest()  # cheaper than two calls, as long as a copy is
    digest = sha256(salt)
    digest.update(data)
    return digest.digest()
