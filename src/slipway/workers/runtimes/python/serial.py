"""One call after the other, in the main thread: the fast way to serve."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, FrozenSet, List, Optional

from slipway.sdk.frames import CALL, CANCEL, CREDIT, HELLO, NO_CALL, STOP, Frame, decode_fields
from slipway.workers.runtimes.python import replies
from slipway.workers.runtimes.python.algorithm import Algorithm
from slipway.workers.runtimes.python.batches import run_batch
from slipway.workers.runtimes.python.callouts import NO_CALL_RUNS
from slipway.workers.runtimes.python.connection import READ, Connection
from slipway.workers.runtimes.python.failures import FATAL, describe
from slipway.workers.runtimes.python.lazy import LAZY, Encoded, Items, encode_lazy, wanted_items
from slipway.workers.runtimes.python.output import FLUSH_AT, CallOutput
from slipway.workers.runtimes.python.process import end_after, open_reserve
from slipway.workers.runtimes.python.streams import Stream, send_items
from slipway.workers.runtimes.python.values import decode_input, encode_result, input_kind

_wall, _cpu = time.perf_counter_ns, time.process_time_ns


class Serial:
    """Serves a loaded version. `ready` is what another hello is answered with."""

    def __init__(
        self,
        connection: Connection,
        algorithm: Algorithm,
        printed: Dict[str, CallOutput],
        ready: Callable[[Dict[str, str]], bytes],
    ) -> None:
        self._connection, self._sending, self._sendall = connection, connection.sending, connection.socket.sendall
        self._algorithm, self._apply = algorithm, algorithm.apply
        self._ready = ready
        self._stdout, self._stderr = printed["stdout"], printed["stderr"]
        self._stdout.emit = lambda text: self._printed("stdout", text)
        self._stderr.emit = lambda text: self._printed("stderr", text)
        self._stdout.flush_at = self._stderr.flush_at = FLUSH_AT
        self._call = NO_CALL
        self._stream: Optional[Stream] = None  # the call's
        connection.takers.update({CREDIT: self._heard, CANCEL: self._heard})
        self._early: List[Frame] = []  # what was read together with calls, and is about them
        self._cancelled: FrozenSet[bytes] = frozenset()
        self._out: List[bytes] = []

    def run(self, frames: List[Frame], most: int) -> None:
        """Serve from `frames` on until the other side closes or says stop; `most` calls make a batch.

        Raises OSError and ProtocolError.
        """
        connection = self._connection
        receive, feed = connection.socket.recv, connection.decoder.feed
        while True:
            if len(frames) > 1:
                self._early = [frame for frame in frames if frame.kind == CANCEL or frame.kind == CREDIT]
                self._cancelled = frozenset([frame.call for frame in self._early if frame.kind == CANCEL])
                if self._algorithm.apply_batch is not None:
                    frames = self._answer_batches(frames, most)
            for frame in frames:
                if frame.kind == CALL:
                    self._answer(frame)
                elif frame.kind == HELLO:
                    self._out.append(self._ready(decode_fields(frame.header)))
                elif frame.kind == STOP:
                    self._flush()
                    return
            self._flush()
            if connection.shared:
                frames = connection.frames()
                if not frames:
                    return
            else:
                data = receive(READ)
                if not data:
                    return
                frames = feed(data)

    def current(self) -> bytes:
        """The call that runs; raises RuntimeError where there is none."""
        if self._call == NO_CALL:
            raise RuntimeError(NO_CALL_RUNS)
        return self._call

    def _flush(self) -> None:
        if self._out:
            data, self._out = b"".join(self._out), []
            with self._sending:
                self._sendall(data)

    def _printed(self, stream: str, text: str) -> None:
        self._out.append(replies.log(self._call, stream, text))
        if self._call == NO_CALL or len(text) > FLUSH_AT:
            self._flush()

    def _stop_printing(self) -> None:
        self._stdout.next_call()
        self._stderr.next_call()

    # --- one call ---------------------------------------------------------------------------------------------------

    def _answer(self, frame: Frame) -> None:
        """Run one call. The previous reply leaves together with the word that this one has begun."""
        call = frame.call
        if call in self._cancelled:
            self._out.append(replies.not_begun(call))
            return
        kind = input_kind(frame.header)
        self._out.append(replies.accepted(call))
        self._flush()
        self._call = call
        started, used = _wall(), _cpu()
        try:
            result = self._apply(decode_input(kind, frame.body))
            encoded = encode_result(result) if type(result) not in LAZY else self._finish(result, frame.header)
        except BaseException as error:
            self._fail(error, started, used)
        else:
            self._stop_printing()
            if encoded is not None:
                self._out.append(replies.reply(call, encoded[0], encoded[1], started, used))
            else:
                us, cpu_us = (_wall() - started) // 1000, (_cpu() - used) // 1000
                self._out.append(replies.stream_end(call, us, cpu_us))
        self._call = NO_CALL

    def _fail(self, error: BaseException, started: int, used: int) -> None:
        fatal = isinstance(error, FATAL)
        if fatal:
            open_reserve()
        us, cpu_us = (_wall() - started) // 1000, (_cpu() - used) // 1000
        reply = replies.error(self._call, *describe(error, self._algorithm.plain_messages), us, cpu_us)
        self._stop_printing()
        self._out.append(reply)
        if fatal:
            self._flush()
            end_after(error)

    # --- streams ----------------------------------------------------------------------------------------------------

    def _finish(self, result: Any, header: bytes) -> Optional[Encoded]:
        return encode_lazy(result, header, self._send_items)

    def _send_items(self, items: Items, wanted: int) -> None:
        self._stream = Stream(wanted)
        # From now on frames are read here too, and what is not about this call is kept for the main loop.
        self._connection.shared = True
        for frame in self._early:
            self._heard(frame)
        self._connection.take_again()
        try:
            send_items(self._connection, self._stream, items, self._send_item)
        finally:
            self._stream = None

    def _heard(self, frame: Frame) -> bool:
        if self._stream is None or frame.call != self._call:
            return False
        self._stream.hear(frame)
        return True

    def _send_item(self, item: Any) -> None:
        encoded = encode_result(item)
        self._stdout.send()
        self._stderr.send()
        self._out.append(replies.item(self._call, *encoded))
        self._flush()

    # --- batches ----------------------------------------------------------------------------------------------------

    def _answer_batches(self, frames: List[Frame], most: int) -> List[Frame]:
        """Run the calls among the frames that want one result, up to `most` together; returns the other frames."""
        calls = [frame for frame in frames if frame.kind == CALL and frame.call not in self._cancelled]
        calls = [frame for frame in calls if b"stream" not in frame.header or not wanted_items(frame.header)]
        for start in range(0, len(calls), most):
            self._answer_batch(calls[start : start + most])
            self._flush()
        run = {frame.call for frame in calls}
        return [frame for frame in frames if frame.kind != CALL or frame.call not in run]

    def _answer_batch(self, frames: List[Frame]) -> None:
        """What it prints and calls is put down to the first call."""
        assert self._algorithm.apply_batch is not None
        inputs = [(frame.call, input_kind(frame.header), frame.body) for frame in frames]
        self._out.extend([replies.accepted(frame.call) for frame in frames])
        self._flush()
        self._call = frames[0].call
        started, used = _wall(), _cpu()
        fatal: Optional[BaseException] = None
        try:
            outcomes = run_batch(self._algorithm.apply_batch, inputs)
        except BaseException as error:
            open_reserve()
            outcomes, fatal = [(frame.call, error) for frame in frames], error
        self._stop_printing()
        us, cpu_us = (_wall() - started) // 1000, (_cpu() - used) // 1000 // len(frames)
        for call, outcome in outcomes:
            if isinstance(outcome, BaseException):
                failure = describe(outcome, self._algorithm.plain_messages)
                self._out.append(replies.error(call, *failure, us, cpu_us, len(frames)))
            else:
                self._out.append(replies.result(call, *outcome, us, cpu_us, len(frames)))
        if fatal is not None:
            self._flush()
            end_after(fatal)
        self._call = NO_CALL
