"""A call whose items go out as they come, as server-sent events: between its start on record and its end on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from slipway.errors import DiskFull, SlipwayError
from slipway.gateway.admission import Admitted
from slipway.gateway.call import Call, Stream
from slipway.gateway.exchange import Exchange, Reply
from slipway.gateway.replies import failure_body, refusal_body
from slipway.ids import id_text
from slipway.journal.records import Phase
from slipway.wire.answers import failure_metadata, result_json

if TYPE_CHECKING:
    from slipway.gateway.invoke import Invoker

ACCEPTED = b"text/event-stream"  # who accepts this wants a stream
_HEAD = b"content-type: text/event-stream\r\ncache-control: no-store\r\nx-request-id: %b\r\n%b"

# How many items a worker may send before the client has taken them.
_FIRST_AHEAD, _MOST_AHEAD = 2, 16
_AHEAD_BYTES = 256 * 1024


class Outlet(Protocol):
    """The way to a client for a reply that goes out in parts. What the client is no longer there for is dropped."""

    def open_parts(self, lines: bytes) -> None:
        """Send the head: status 200 and these header lines, each ended."""

    def send_part(self, data: bytes) -> bool:
        """Send a part. False: the client is slow, and `Exchange.resume` is called when it may have more."""

    def close_parts(self, data: bytes) -> None:
        """Send the last part."""


class StreamExchange(Exchange):
    """From an admitted request to its last event. An outcome before the first item is answered as any call's."""

    __slots__ = ("_ahead", "_closing", "_gone", "_held", "_kept", "_opened", "_outlet", "_start_recorded")

    def __init__(self, invoker: Invoker, admitted: Admitted, extra: bytes, reply: Reply, outlet: Outlet) -> None:
        super().__init__(invoker, admitted, extra, reply)
        self._outlet = outlet
        self._kept = invoker.recorder.parts()
        self._ahead = _FIRST_AHEAD
        self._held: list[bytes] = []  # events that wait for a record
        self._closing = b""  # the last event
        self._start_recorded = self._opened = self._gone = False

    def begin(self, call: Call) -> None:
        """Hand the call over."""
        call.stream = Stream(self, self._ahead, self._kept)
        super().begin(call)

    def abandon(self) -> None:
        """The caller closed its connection."""
        self._gone = True
        super().abandon()

    def accepted(self, call: Call) -> None:
        """A worker has begun the call; one that nobody waits for any more is not to go on."""
        if self._gone or call.done:
            self._invoker.withdraw(call)

    # --- items ------------------------------------------------------------------------------------------------------

    def started(self, call: Call) -> None:
        """Its first item is there, or it calls others: its start is recorded first."""
        self._invoker.recorder.record(call, self._admitted, "start", self._begun, self._not_begun)

    def item(self, call: Call, content_type: str, body: bytes) -> None:
        """Send one item, once the start is on record."""
        if not call.started:
            call.started = True
            self.started(call)
        self._hold(content_type, body)
        self._ahead = max(1, min(_MOST_AHEAD, _AHEAD_BYTES // (len(body) or 1)))
        if self._start_recorded:
            self._send()

    def resume(self) -> None:
        """Let the worker send as much as the client is about to take."""
        call = self._call
        if call is None or call.done or call.stream is None or self._held:
            return
        more = self._ahead - call.stream.ahead
        if more > 0 and more * 2 >= self._ahead:
            self._invoker.grant(call, more)

    def _hold(self, content_type: str, body: bytes) -> None:
        value = _one_line(content_type, body)
        self._kept.add(value, len(body))
        self._held.append(_item(content_type, value))

    def _begun(self) -> None:
        self._start_recorded = True
        if self._held:
            self._send()

    def _not_begun(self) -> None:
        call = self._call
        assert call is not None
        call.refuse(DiskFull("the call cannot be recorded: the disk is full"))
        self._invoker.withdraw(call)

    def _send(self) -> None:
        self._open()
        events, self._held = b"".join(self._held), []
        if self._outlet.send_part(events):
            self.resume()

    def _open(self) -> None:
        if not self._opened:
            self._opened = True
            assert self._call is not None
            self._outlet.open_parts(_HEAD % (id_text(self._call.id).encode(), self._extra))

    # --- the end ----------------------------------------------------------------------------------------------------

    def completed(self, call: Call) -> None:
        """The outcome is there: let it go once its record is on disk."""
        failed = call.failure is not None or call.refusal is not None
        if failed and not self._kept.count:
            super().completed(call)
            return
        self._invoker.ended(self._admitted.usage if call.place is None else None)
        if not failed and call.stream is not None and not call.stream.ended:
            # It is no generator: its result is the only item.
            self._held.append(_item(call.result_type, _one_line(call.result_type, call.result)))
        self._closing = self._last(call)
        phase: Phase = "end" if call.started else "call"
        self._invoker.recorder.record(call, self._admitted, phase, self._finish, self._unrecorded)

    def _last(self, call: Call) -> bytes:
        request_id, stdout = id_text(call.id), self._admitted.stdout
        if call.refusal is not None:
            return _event(b"error", refusal_body(call.refusal, request_id))
        if call.failure is not None:
            return _event(b"error", failure_body(call, request_id, stdout))
        metadata = failure_metadata(call.duration_us, call.output if stdout else None)
        return _event(b"end", msgspec.json.encode({"metadata": metadata, "request_id": request_id}))

    def _finish(self) -> None:
        assert self._call is not None
        if self._call.started and not self._start_recorded:
            self._unrecorded()
            return
        self._open()
        self._outlet.close_parts(b"".join([*self._held, self._closing]))

    def _unrecorded(self) -> None:
        if not self._opened:
            super()._unrecorded()
            return
        assert self._call is not None
        error: SlipwayError = DiskFull("the end of the call cannot be recorded: the disk is full")
        self._outlet.close_parts(_event(b"error", refusal_body(error, id_text(self._call.id))))


def _one_line(content_type: str, body: bytes) -> bytes:
    """As JSON, in which only spaces can be line breaks."""
    return b" ".join(result_json(content_type, body).splitlines())


def _item(content_type: str, value: bytes) -> bytes:
    """An event without a name. Fields that are not the standard's are ignored by who does not know them."""
    mark = b"content_type: binary\n" if content_type == "binary" else b""
    return b"%bdata: %b\n\n" % (mark, value)


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, data)
