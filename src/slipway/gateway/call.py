"""One call in flight, from its admission to its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from slipway.errors import SlipwayError
from slipway.journal.parts import Parts
from slipway.types import AlgorithmFailure, Version
from slipway.wire.frames import ProtocolError

if TYPE_CHECKING:
    from slipway.gateway.exchange import Exchange
    from slipway.gateway.replica import ReplicaConnection


class Sink(Protocol):
    """Who waits for a call's outcome: an HTTP exchange, or the gateway that forwarded the call."""

    def completed(self, call: Call) -> None:
        """The call has its outcome; called once."""

    def accepted(self, call: Call) -> None:
        """A worker has begun the call: it must not be tried elsewhere any more."""

    def started(self, call: Call) -> None:
        """The call, a root, is about to call others: its start must be on record before the first of these."""


class StreamSink(Sink, Protocol):
    """Who takes a call's items one by one."""

    def item(self, call: Call, content_type: str, body: bytes) -> None:
        """The next one has come."""


class Stream:
    """What a call has whose items are wanted as they come."""

    __slots__ = ("_sink", "ahead", "ended", "kept")

    def __init__(self, sink: StreamSink, ahead: int, kept: Parts | None = None) -> None:
        self._sink = sink
        self.ahead = ahead  # items that may come before more are allowed
        self.ended = False  # its worker has said that there are no more
        self.kept = kept  # None where its record is another gateway's

    def take(self, call: Call, content_type: str, body: bytes) -> None:
        """One item has come. Raises ProtocolError where it was not allowed yet."""
        if self.ahead < 1:
            raise ProtocolError("an item that there was no credit for")
        self.ahead -= 1
        if not call.done:
            self._sink.item(call, content_type, body)


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a call that another one made stands in its tree."""

    root_id: bytes
    parent_id: bytes
    origin: str  # the account that called the root
    depth: int  # 1 for what a root calls


class Call:
    """A call and, once complete, its outcome: a result, a `failure` of the algorithm or a `refusal` of the platform.

    Times are seconds of the monotonic clock; they compare between processes of one machine.
    """

    __slots__ = (
        "arrived",
        "begun",
        "body",
        "caller",
        "children",
        "cold_start",
        "content_type",
        "cpu_us",
        "deadline",
        "done",
        "duration_us",
        "failure",
        "id",
        "key_id",
        "output",
        "owner",
        "place",
        "queue_us",
        "refusal",
        "replica_id",
        "result",
        "result_type",
        "retried",
        "sent",
        "sink",
        "started",
        "stream",
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
        self.key_id = ""
        self.place: Place | None = None  # None: it is a root
        self.started = False  # whether its start is on record, so that its end is recorded as that
        self.children: set[Exchange] | None = None  # what its worker calls and waits for; None: it has called nothing
        self.stream: Stream | None = None  # None: its result is wanted whole
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

    def end_stream(self) -> None:
        """Complete a call whose items have all come."""
        if self.stream is not None:
            self.stream.ended = True
        self._complete()

    def fail(self, failure: AlgorithmFailure) -> None:
        """Complete with an error of the algorithm."""
        self.failure = failure
        self._complete()

    def refuse(self, error: SlipwayError) -> None:
        """Complete with a refusal of the platform."""
        self.refusal = error
        self._complete()

    def try_again(self) -> None:
        """Its worker was lost: it is as if none had begun it, but for the attempt that is used up."""
        self.retried, self.owner, self.begun, self.output = True, None, 0.0, b""

    def _complete(self) -> None:
        if not self.done:
            self.done = True
            if self.children:
                for child in list(self.children):
                    child.abandon()
            self.sink.completed(self)
