"""The runner's main: the worker protocol on descriptor 3, one call at a time."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
import traceback
from typing import Any, Dict, List, Optional, Set

from slipway.sdk import platform
from slipway.sdk.client_transport import ADDRESS
from slipway.sdk.frames import (
    CALL,
    CANCEL,
    CREDIT,
    HELLO,
    NO_CALL,
    READY,
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
from slipway.workers.runtimes.python import replies
from slipway.workers.runtimes.python.algorithm import Algorithm, environment_modules
from slipway.workers.runtimes.python.batches import run_batch
from slipway.workers.runtimes.python.callouts import CallOuts
from slipway.workers.runtimes.python.failures import FATAL, describe, describe_loading
from slipway.workers.runtimes.python.output import FLUSH_AT, CallOutput
from slipway.workers.runtimes.python.process import (
    close_standard_input,
    die_with_parent,
    limit_memory,
    name_process,
    open_reserve,
)
from slipway.workers.runtimes.python.values import decode_input, encode_result, input_kind

_CREDIT = 16
_KINDS = "1,2,3,4,5,6,7,8,9,11,12,13,14,15"
_READ = 256 * 1024
_NO_LIMIT = 2**40  # what an input may measure is the platform's business

# Exit statuses: as it should; after an answer that it could not go on from; the protocol was broken; no memory.
ENDED, FAILED, BROKEN, OUT_OF_MEMORY = 0, 1, 2, 137

_wall, _cpu = time.perf_counter_ns, time.process_time_ns


class Worker:
    """Serves one version to whoever holds the other end of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = Decoder(_NO_LIMIT)
        self._callouts = CallOuts(connection, self._decoder, self._running)
        self._algorithm = Algorithm("", "")
        self._loaded = False
        self._most = 1  # calls in a batch
        self._call = NO_CALL
        self._cancelled: Set[bytes] = set()
        self._out: List[bytes] = []
        self._later: List[Frame] = []  # read while a stream ran
        self._stdout = CallOutput(lambda text: self._printed("stdout", text), 1)
        self._stderr = CallOutput(lambda text: self._printed("stderr", text), 2)

    def run(self) -> None:
        """Serve until the other side closes or says stop. Raises OSError and ProtocolError."""
        self._take_over()
        receive, feed, callouts = self._connection.recv, self._decoder.feed, self._callouts
        while True:
            if self._later:
                frames, self._later = self._later, []
            elif callouts.used:
                frames = callouts.frames()
                if not frames:
                    return
            else:
                data = receive(_READ)
                if not data:
                    return
                frames = feed(data)
            if len(frames) > 1:
                self._cancelled = {frame.call for frame in frames if frame.kind == CANCEL}
            if self._algorithm.apply_batch is not None and len(frames) > 1:
                frames = self._answer_batches(frames)
            for frame in frames:
                if frame.kind == CALL:
                    self._answer(frame)
                elif frame.kind == HELLO:
                    self._hello(decode_fields(frame.header))
                elif frame.kind == STOP:
                    self._flush()
                    return
            self._flush()

    def _take_over(self) -> None:
        """The process's standard streams, and what is left of them in a process that user code forks."""
        close_standard_input()
        self._connection.set_inheritable(False)
        sys.stdout, sys.stderr = self._stdout, self._stderr
        platform.connect(self._callouts.ask)
        os.register_at_fork(after_in_child=self._let_go)

    def _let_go(self) -> None:
        self._stdout.in_forked_child()
        self._stderr.in_forked_child()
        self._callouts.close()
        self._connection.close()

    def _flush(self) -> None:
        if self._out:
            data, self._out = b"".join(self._out), []
            with self._callouts.sending:
                self._connection.sendall(data)

    def _running(self) -> bytes:
        """The call on whose behalf the author's code asks the platform for something; none while it loads."""
        if self._call == NO_CALL and self._loaded:
            raise RuntimeError("no call is running: what outlives a call cannot ask the platform for anything")
        return self._call

    def _printed(self, stream: str, text: str) -> None:
        self._out.append(replies.log(self._call, stream, text))
        if self._call == NO_CALL or len(text) > FLUSH_AT:
            self._flush()

    def _stop_printing(self) -> None:
        self._stdout.next_call()
        self._stderr.next_call()

    # --- loading ----------------------------------------------------------------------------------------------------

    def _hello(self, fields: Dict[str, str]) -> None:
        ready = {"lease": fields["lease"], "kinds": _KINDS, "language": "python"}
        ready.update({"credit": str(_CREDIT), "concurrency": "1"})
        self._most = int(fields.get("max_batch", "1"))
        if not self._loaded:
            started = _wall()
            self._load(fields)
            ready["load_us"] = str((_wall() - started) // 1000)
            ready["modules"] = replies.shortened(environment_modules())
        ready["batch"] = str(self._most if self._algorithm.apply_batch else 1)
        self._out.append(encode(READY, NO_CALL, encode_fields(ready)))

    def _load(self, fields: Dict[str, str]) -> None:
        name_process(fields["algorithm"])
        limit_memory(int(fields["memory"]))
        os.environ["ALGORITHMIA_API"] = ADDRESS
        self._algorithm = Algorithm(fields["directory"], fields["entry"])
        try:
            self._algorithm.load()
        except BaseException as error:
            open_reserve()
            self._stop_printing()
            self._out.append(replies.error(NO_CALL, *describe_loading(error, self._algorithm.plain_messages)))
            self._end_after(error)
        self._stop_printing()
        self._stdout.flush_at = self._stderr.flush_at = FLUSH_AT
        self._loaded = True

    # --- calls ------------------------------------------------------------------------------------------------------

    def _answer(self, frame: Frame) -> None:
        """Run one call. The previous reply leaves together with the word that this one has begun."""
        call = frame.call
        if call in self._cancelled:
            self._out.append(replies.error(call, "TimeoutError", "the call was cancelled before it began", ""))
            return
        kind = input_kind(frame.header)
        self._out.append(replies.accepted(call))
        self._flush()
        self._call = call
        started, used = _wall(), _cpu()
        try:
            fields = decode_fields(frame.header)
            self._algorithm.streaming = "stream" in fields
            value = self._algorithm.apply(decode_input(kind, frame.body))
            if self._algorithm.streaming and hasattr(value, "__next__"):
                self._stream(call, value, int(fields["stream"]), started, used)
                self._call = NO_CALL
                return
            result = encode_result(value)
        except BaseException as error:
            self._fail(error, started, used)
        else:
            self._stop_printing()
            self._out.append(replies.reply(call, result[0], result[1], started, used))
        self._call = NO_CALL

    def _stream(self, call: bytes, items: Any, credit: int, started: int, used: int) -> None:
        try:
            for item in items:
                kind, body = encode_result(item)
                while True:
                    found = self._heard(call, credit < 1)
                    if found is None:
                        items.close()
                        self._out.append(replies.error(call, "TimeoutError", "the call was cancelled", ""))
                        return
                    credit += found
                    if credit > 0:
                        break
                credit -= 1
                self._stop_printing()
                self._out.append(encode(STREAM_ITEM, call, encode_fields({"content_type": kind.decode()}), body))
                self._flush()
        finally:
            items.close()
        self._stop_printing()
        us, cpu_us = (_wall() - started) // 1000, (_cpu() - used) // 1000
        self._out.append(encode(STREAM_END, call, encode_fields({"us": str(us), "cpu_us": str(cpu_us)})))

    def _heard(self, call: bytes, wait: bool) -> Optional[int]:
        """More credit; None where the call was cancelled."""
        credit = 0
        if wait or select.select([self._connection], [], [], 0)[0]:
            if self._callouts.used:
                frames = self._callouts.frames()
                if not frames:
                    raise OSError("the other side is gone")
            else:
                data = self._connection.recv(_READ)
                if not data:
                    raise OSError("the other side is gone")
                frames = self._decoder.feed(data)
            for frame in frames:
                if frame.kind == CANCEL and frame.call == call:
                    return None
                if frame.kind == CREDIT and frame.call == call:
                    credit += int(decode_fields(frame.header)["credit"])
                else:
                    self._later.append(frame)
        return credit

    def _answer_batches(self, frames: List[Frame]) -> List[Frame]:
        """Run the calls among the frames, up to `max_batch` together; returns the other frames."""
        calls = [frame for frame in frames if frame.kind == CALL and frame.call not in self._cancelled]
        for start in range(0, len(calls), self._most):
            self._answer_batch(calls[start : start + self._most])
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
                self._out.append(replies.batched(call, *outcome, us, cpu_us, len(frames)))
        if fatal is not None:
            self._end_after(fatal)
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
            self._end_after(error)

    def _end_after(self, error: BaseException) -> None:
        self._flush()
        os._exit(OUT_OF_MEMORY if isinstance(error, MemoryError) else FAILED)


def main(descriptor: int = 3) -> None:
    """Serve on an inherited socket, then end at once: what user code left running must not hold the process."""
    status = ENDED
    try:
        Worker(socket.socket(fileno=descriptor)).run()
    except OSError:
        status = FAILED  # the other side is gone
    except ProtocolError as error:
        os.write(2, f"worker: {error}\n".encode())
        status = BROKEN
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        status = BROKEN
    os._exit(status)


if __name__ == "__main__":
    die_with_parent(int(os.environ.pop("SLIPWAY_HOST_PID", os.getppid())))
    main()
