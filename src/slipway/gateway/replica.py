"""A leased replica: the platform's end of its socket, and the calls that it has."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from functools import partial
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
    MAX_CHUNK,
    OVERSIZED,
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
_ABANDONED_GRACE_SECONDS = 1.0  # a caller that gives up must not cost a worker for a call that is nearly done
_OUTPUT_LIMIT = 256 * 1024

# Nearly every reply has this header, which is cheaper to match than to decode.
_USUAL = rb"\x0ccontent_type\0.(json|text|binary)\x02us\0.(\d+)\x06cpu_us\0.(\d+)"
_usual_reply = re.compile(_USUAL, re.DOTALL).fullmatch
_CONTENT_TYPES = {b"json": "json", b"text": "text", b"binary": "binary"}

Soon = Callable[[Callable[[], None]], object]  # the loop's `call_soon`

logger = logging.getLogger(__name__)


class ReplicaConnection(asyncio.Protocol):
    """Sends calls to one worker and completes them with what comes back."""

    def __init__(self, lease: Lease, queue: VersionQueue, reply_limit: int, call_outs: CallOuts, soon: Soon) -> None:
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
        self._reply_limit = reply_limit
        self._decoder = Decoder(reply_limit, drop_oversized=True)
        self._cold = lease.cold_start_seconds > 0
        self._streams: set[bytes] = set()  # call ids
        self._cancelled: dict[bytes, float] = {}  # call id → when its worker is killed
        self._heads: dict[tuple[str, str], bytes] = {}
        self._out: list[bytes] = []  # leaves at the end of this turn of the loop
        self._soon = soon
        self._handlers: dict[int, Callable[[Frame], None]] = {
            REPLY: self._replied if reply_limit >= MAX_CHUNK else self._replied_in_one,
            ACCEPTED: self._accepted,
            ERROR: self._failed,
            LOG: self._printed,
            CREDIT: self._credited,
            CALL_OUT: self._called_out,
            OVERSIZED | REPLY: self._replied_too_much,
            OVERSIZED | CALL_OUT: self._called_out_too_much,
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

    @property
    def idle(self) -> bool:
        """Whether it is at nothing, not even at a call that was given up."""
        return not self.calls and self.room > 0

    def send(self, call: Call, now: float) -> None:
        """Send a call; it completes when the worker answers, its time is over or the worker is lost.

        It leaves with whatever else this turn of the loop has for the worker, which finds that together.
        """
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
        self._write(encode(CALL, call.id, head + timeout, call.body))

    def cancel(self, call: Call, now: float, grace: float = _CANCEL_GRACE_SECONDS) -> None:
        """Give up a call that its worker has begun: the worker is killed unless it ends it within the grace."""
        self.calls.pop(call.id, None)
        self._streams.discard(call.id)
        self._cancelled[call.id] = now + grace
        self._write(encode(CANCEL, call.id))

    def withdraw(self, call: Call) -> None:
        """Tell the worker that nobody waits for the call any more. It stays in the worker's hands until it ends."""
        self._write(encode(CANCEL, call.id))

    def end_abandoned(self, now: float) -> None:
        """Have the worker killed in a while if all that it has begun are calls whose callers are gone."""
        begun = [call for call in self.calls.values() if call.begun]
        if begun and self.transport is not None and all(call.done for call in begun):
            for call in begun:
                self.cancel(call, now, _ABANDONED_GRACE_SECONDS)

    def grant(self, call: Call, items: int) -> None:
        """Let the worker send so many more items of a call."""
        if call.id in self.calls and call.stream is not None:
            call.stream.ahead += items
            self._write(encode(CREDIT, call.id, encode_fields({"credit": str(items)})))

    def overstayed(self, now: float) -> bool:
        """Whether a cancelled call's grace is over."""
        return bool(self._cancelled) and min(self._cancelled.values()) <= now

    def longest(self, now: float) -> float:
        """For how many seconds it has been at a call."""
        return max((now - call.begun for call in self.calls.values() if call.begun), default=0.0)

    def stop(self) -> None:
        """Ask the worker to end, and let go of it."""
        if self.transport is not None:
            self._write(encode(STOP))
            self._flush()
            self.transport.close()

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        if len(self._out) == 1:
            self._soon(self._flush)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self.transport is not None:
            self.transport.write(b"".join(out))

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
        usual = _usual_reply(frame.header)
        if usual is not None:
            kind, us, cpu_us = usual.groups()
            self._account(call, int(us), int(cpu_us), 1)
            call.succeed(_CONTENT_TYPES[kind], frame.body)
            return
        fields = decode_fields(frame.header)
        self._account_fields(call, fields)
        call.succeed(fields["content_type"], frame.body)

    def _failed(self, frame: Frame) -> None:
        call = self._take(frame.call)
        if call is None:
            return
        fields = decode_fields(frame.header)
        self._account_fields(call, fields)
        trace = frame.body.decode("utf-8", "replace")
        call.fail(AlgorithmFailure(error_type=fields["type"], message=fields["message"], stack_trace=trace))

    def _replied_in_one(self, frame: Frame) -> None:
        """The decoder measures what comes in several chunks."""
        handle = self._replied if len(frame.body) <= self._reply_limit else self._replied_too_much
        handle(frame)

    def _replied_too_much(self, frame: Frame) -> None:
        call = self._take(frame.call)
        if call is not None:
            self._account_fields(call, decode_fields(frame.header))
            message = f"the result exceeds {self._reply_limit} bytes: write it to hosted data and return its address"
            call.fail(AlgorithmFailure(error_type="TooLargeError", message=message))

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
            self._account_fields(call, decode_fields(frame.header))
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
        answer = partial(self._answer, frame.call, number)
        self._call_outs.take(self.calls.get(frame.call), fields, frame.body, answer)

    def _called_out_too_much(self, frame: Frame) -> None:
        number = decode_fields(frame.header)["number"]
        self._call_outs.refuse_body(self._reply_limit, partial(self._answer, frame.call, number))

    def _answer(self, identity: bytes, number: str, answer: Answer) -> None:
        head = {**answer.headers, "number": number, "status": str(answer.status)}
        self._write(encode(CALL_OUT_REPLY, identity, encode_fields(head), answer.body))

    def _take(self, identity: bytes) -> Call | None:
        self._cancelled.pop(identity, None)
        if self._streams:
            self._streams.discard(identity)
        return self.calls.pop(identity, None)

    def _account_fields(self, call: Call, fields: dict[str, str]) -> None:
        us = int(fields["us"]) if "us" in fields else int((time.monotonic() - (call.begun or call.sent)) * 1e6)
        self._account(call, us, int(fields.get("cpu_us", 0)), int(fields.get("batch", 1)))

    def _account(self, call: Call, us: int, cpu_us: int, batch: int) -> None:
        call.queue_us = int(((call.begun or call.sent) - call.arrived) * 1e6)
        call.duration_us, call.cpu_us = us, cpu_us
        self.last_used = time.monotonic()
        share = us / (1e6 * batch)
        self._service_seconds = smoothed(self._service_seconds, share)
        self._queue.served(share)
        self.window = window(self._service_seconds, self._lease.concurrency, self._credit)
