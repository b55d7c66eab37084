"""One call in flight, from its admission to its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from slipway.errors import SlipwayError
from slipway.types import AlgorithmFailure, Version

if TYPE_CHECKING:
    from slipway.gateway.replica import ReplicaConnection


class Sink(Protocol):
    """Who waits for a call's outcome: an HTTP exchange, or the gateway that forwarded the call."""

    def completed(self, call: Call) -> None:
        """The call has its outcome; called once."""

    def accepted(self, call: Call) -> None:
        """A worker has begun the call: it must not be tried elsewhere any more."""


class Call:
    """A call and, once complete, its outcome: a result, a `failure` of the algorithm or a `refusal` of the platform.

    Times are seconds of the monotonic clock; they compare between processes of one machine.
    """

    __slots__ = (
        "arrived",
        "begun",
        "body",
        "caller",
        "cold_start",
        "content_type",
        "cpu_us",
        "deadline",
        "done",
        "duration_us",
        "failure",
        "id",
        "output",
        "owner",
        "queue_us",
        "refusal",
        "replica_id",
        "result",
        "result_type",
        "retried",
        "sent",
        "sink",
        "version",
    )

    def __init__(
        self,
        identity: bytes,
        version: Version,
        body: bytes,
        content_type: str,
        caller: str,
        arrived: float,
        deadline: float,
        sink: Sink,
    ) -> None:
        self.id = identity  # 16 bytes, UUIDv7
        self.version = version
        self.body = body
        self.content_type = content_type  # json, text or binary
        self.caller = caller
        self.arrived = arrived
        self.deadline = deadline
        self.sink = sink
        self.sent = 0.0
        self.begun = 0.0  # when its worker accepted it
        self.retried = False
        self.done = False
        self.owner: ReplicaConnection | None = None  # the replica that has it
        self.replica_id = ""
        self.cold_start = False
        self.queue_us = 0
        self.duration_us = 0
        self.cpu_us = 0
        self.output = b""  # what it printed
        self.result = b""
        self.result_type = "json"
        self.failure: AlgorithmFailure | None = None
        self.refusal: SlipwayError | None = None

    def succeed(self, result_type: str, result: bytes) -> None:
        """Complete with a result: JSON text, UTF-8 text or bytes."""
        self.result_type, self.result = result_type, result
        self._complete()

    def fail(self, failure: AlgorithmFailure) -> None:
        """Complete with an error of the algorithm."""
        self.failure = failure
        self._complete()

    def refuse(self, error: SlipwayError) -> None:
        """Complete with a refusal of the platform."""
        self.refusal = error
        self._complete()

    def _complete(self) -> None:
        if not self.done:
            self.done = True
            self.sink.completed(self)
