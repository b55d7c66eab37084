"""A leased replica: the platform's end of its socket, and the calls that it has."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from slipway.gateway.call import Call
from slipway.routing.sendahead import FIRST_GUESS_SECONDS, smoothed, window
from slipway.types import AlgorithmFailure
from slipway.wire.acting import Answer
from slipway.wire.frames import (
    ACCEPTED,
    CALL,
    CALL_OUT,
    CALL_OUT_REPLY,
    CANCEL,
    CREDIT,
    ERROR,
    LOG,
    REPLY,
    STOP,
    STREAM_END,
    STREAM_ITEM,
    Decoder,
    Frame,
    ProtocolError,
    decode_fields,
    encode,
    encode_fields,
)
from slipway.wire.messages import Lease

if TYPE_CHECKING:
    from slipway.gateway.callouts import CallOuts
    from slipway.gateway.queue import VersionQueue

_CANCEL_GRACE_SECONDS = 0.25
_OUTPUT_LIMIT = 256 * 1024

logger = logging.getLogger(__name__)


class ReplicaConnection(asyncio.Protocol):
    """Sends calls to one worker and completes them with what comes back."""

    def __init__(self, lease: Lease, queue: VersionQueue, reply_limit: int, call_outs: CallOuts) -> None:
        self.id = lease.replica
        self.calls: dict[bytes, Call] = {}  # in the order in which they were sent
        self.window = self.concurrency = lease.concurrency
        self.batch = lease.batch
        self.last_used = time.monotonic()
        self.transport: asyncio.Transport | None = None
        self._queue = queue
        self._call_outs = call_outs
        self._lease = lease
        self._credit = max(lease.credit, lease.batch)
        self._service_seconds = FIRST_GUESS_SECONDS
        self._decoder = Decoder(reply_limit)
        self._cold = lease.cold_start_seconds > 0
        self._streams: set[bytes] = set()  # call ids
        self._cancelled: dict[bytes, float] = {}  # call id → when its worker is killed
        self._heads: dict[tuple[str, str], bytes] = {}
        self._handlers: dict[int, Callable[[Frame], None]] = {
            REPLY: self._replied,
            ACCEPTED: self._accepted,
            ERROR: self._failed,
            LOG: self._printed,
            CREDIT: self._credited,
            CALL_OUT: self._called_out,
            STREAM_ITEM: self._streamed,
            STREAM_END: self._ended,
        }

    # --- from the queue ---------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many calls more it may be sent now."""
        if self._cancelled or self.transport is None:
            return 0
        if not self.calls and self.batch > self.window:
            return self.batch
        if self._streams:  # of which nobody knows when they end: nothing is sent ahead behind one
            return self.concurrency - len(self.calls)
        return self.window - len(self.calls)

    def send(self, call: Call) -> None:
        """Send a call; it completes when the worker answers, its time is over or the worker is lost."""
        self.transport.write(self._taken(call, time.monotonic()))  # type: ignore[union-attr]

    def send_all(self, calls: list[Call]) -> None:
        """Send them in one go, so that the worker finds them together."""
        now = time.monotonic()
        self.transport.write(b"".join([self._taken(call, now) for call in calls]))  # type: ignore[union-attr]

    def _taken(self, call: Call, now: float) -> bytes:
        call.owner, call.replica_id, call.sent = self, self.id, now
        call.cold_start, self._cold = self._cold, False
        self.calls[call.id] = call
        key = (call.content_type, call.caller)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = encode_fields({"content_type": call.content_type, "caller": call.caller})
        remaining = b"%d" % max(1, int((call.deadline - now) * 1000))
        timeout = b"\x0atimeout_ms" + len(remaining).to_bytes(2, "big") + remaining
        if call.stream is not None:
            self._streams.add(call.id)
            timeout += encode_fields({"stream": str(call.stream.ahead)})
        return encode(CALL, call.id, head + timeout, call.body)

    def cancel(self, call: Call, now: float) -> None:
        """Give up a call that its worker has begun: the worker is killed unless it ends it within the grace."""
        self.calls.pop(call.id, None)
        self._streams.discard(call.id)
        self._cancelled[call.id] = now + _CANCEL_GRACE_SECONDS
        self.transport.write(encode(CANCEL, call.id))  # type: ignore[union-attr]

    def grant(self, call: Call, items: int) -> None:
        """Let the worker send so many more items of a call."""
        if call.id in self.calls and call.stream is not None and self.transport is not None:
            call.stream.ahead += items
            self.transport.write(encode(CREDIT, call.id, encode_fields({"credit": str(items)})))

    def overstayed(self, now: float) -> bool:
        """Whether a cancelled call's grace is over."""
        return bool(self._cancelled) and min(self._cancelled.values()) <= now

    def longest(self, now: float) -> float:
        """For how many seconds it has been at a call."""
        return max((now - call.begun for call in self.calls.values() if call.begun), default=0.0)

    def stop(self) -> None:
        """Ask the worker to end, and let go of it."""
        if self.transport is not None:
            self.transport.write(encode(STOP))
            self.transport.close()

    # --- asyncio ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self.transport = transport  # type: ignore[assignment]
        self._queue.joined(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """The worker has closed its end, or is dead."""
        self.transport = None
        self._queue.lost(self)

    def data_received(self, data: bytes) -> None:
        """Frames from the worker."""
        try:
            for frame in self._decoder.feed(data):
                handler = self._handlers.get(frame.kind)
                if handler is None:
                    raise ProtocolError(f"unexpected frame of kind {frame.kind}")
                handler(frame)
        except (ProtocolError, ValueError, KeyError) as error:
            logger.warning("replica %s of %s broke the protocol: %s", self.id, self._lease.version_id, error)
            self._queue.broken(self)
            return
        self._queue.freed(self)

    # --- frames -----------------------------------------------------------------------------------------------------

    def _accepted(self, frame: Frame) -> None:
        call = self.calls.get(frame.call)
        if call is not None:
            call.begun = time.monotonic()
            call.sink.accepted(call)

    def _replied(self, frame: Frame) -> None:
        call = self._take(frame.call)
        if call is None:
            return
        fields = decode_fields(frame.header)
        self._account(call, fields)
        call.succeed(fields["content_type"], frame.body)

    def _failed(self, frame: Frame) -> None:
        call = self._take(frame.call)
        if call is None:
            return
        fields = decode_fields(frame.header)
        self._account(call, fields)
        trace = frame.body.decode("utf-8", "replace")
        call.fail(AlgorithmFailure(error_type=fields["type"], message=fields["message"], stack_trace=trace))

    def _streamed(self, frame: Frame) -> None:
        call = self.calls.get(frame.call)
        if call is None:
            return
        if call.stream is None:
            raise ProtocolError("an item of a call whose result is wanted whole")
        call.stream.take(call, decode_fields(frame.header)["content_type"], frame.body)

    def _ended(self, frame: Frame) -> None:
        call = self._take(frame.call)
        if call is not None:
            self._account(call, decode_fields(frame.header))
            call.end_stream()

    def _printed(self, frame: Frame) -> None:
        call = self.calls.get(frame.call)
        if call is not None and len(call.output) < _OUTPUT_LIMIT:
            call.output += frame.body

    def _credited(self, frame: Frame) -> None:
        self._credit = max(1, int(decode_fields(frame.header)["credit"]))

    def _called_out(self, frame: Frame) -> None:
        """Its worker asks for something on behalf of a call; one that is over is answered with a refusal."""
        fields = decode_fields(frame.header)
        number = fields.pop("number")

        def answer(answer: Answer) -> None:
            if self.transport is not None:
                head = {**answer.headers, "number": number, "status": str(answer.status)}
                self.transport.write(encode(CALL_OUT_REPLY, frame.call, encode_fields(head), answer.body))

        self._call_outs.take(self.calls.get(frame.call), fields, frame.body, answer)

    def _take(self, identity: bytes) -> Call | None:
        self._cancelled.pop(identity, None)
        if self._streams:
            self._streams.discard(identity)
        return self.calls.pop(identity, None)

    def _account(self, call: Call, fields: dict[str, str]) -> None:
        now = time.monotonic()
        begun = call.begun or call.sent
        call.queue_us = int((begun - call.arrived) * 1e6)
        call.duration_us = int(fields["us"]) if "us" in fields else int((now - begun) * 1e6)
        call.cpu_us = int(fields.get("cpu_us", 0))
        self.last_used = now
        share = call.duration_us / 1e6 / int(fields.get("batch", 1))
        self._service_seconds = smoothed(self._service_seconds, share)
        self._queue.served(share)
        self.window = window(self._service_seconds, self._lease.concurrency, self._credit)
