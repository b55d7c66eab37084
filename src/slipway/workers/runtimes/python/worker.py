"""The runner's main: the worker protocol on descriptor 3, one call at a time."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any, Dict, List, Tuple

from slipway.sdk.frames import (
    ACCEPTED,
    CALL,
    ERROR,
    HEADER,
    HELLO,
    LOG,
    NO_CALL,
    PROTOCOL_VERSION,
    READY,
    REPLY,
    STOP,
    Decoder,
    Frame,
    decode_fields,
    encode,
    encode_fields,
)
from slipway.workers.runtimes.python.algorithm import Algorithm, environment_modules, stack_trace
from slipway.workers.runtimes.python.output import CallOutput
from slipway.workers.runtimes.python.process import limit_memory
from slipway.workers.runtimes.python.values import decode_input, encode_result

_CREDIT = 16
_KINDS = "1,2,4,5,6,7,13,14,15"
_READ = 256 * 1024
_MESSAGE_LIMIT = 8 * 1024
_MODULES_LIMIT = 40_000
_JSON_INPUT = b"\x0ccontent_type\x00\x04json"

# A reply's header is the same but for two numbers.
_TYPES = {
    kind: b"\x0ccontent_type" + len(kind).to_bytes(2, "big") + kind + b"\x02us"
    for kind in (b"json", b"text", b"binary")
}
_FATAL = (MemoryError, SystemExit, KeyboardInterrupt)


class Worker:
    """Serves one version to whoever holds the other end of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._algorithm = Algorithm("", "")
        self._loaded = False
        self._load_us = 0
        self._call = NO_CALL
        self._out: List[bytes] = []
        self._stdout = CallOutput(lambda text: self._log("stdout", text))
        self._stderr = CallOutput(lambda text: self._log("stderr", text))

    def run(self) -> None:
        """Serve until the other side closes or says stop."""
        sys.stdout, sys.stderr = self._stdout, self._stderr
        decoder = Decoder()
        while True:
            data = self._connection.recv(_READ)
            if not data:
                return
            for frame in decoder.feed(data):
                if frame.kind == CALL:
                    self._answer(frame)
                elif frame.kind == HELLO:
                    self._hello(decode_fields(frame.header))
                elif frame.kind == STOP:
                    self._flush()
                    return
            self._flush()

    def _flush(self) -> None:
        if self._out:
            data, self._out = b"".join(self._out), []
            self._connection.sendall(data)

    def _log(self, stream: str, text: str) -> None:
        self._out.append(encode(LOG, self._call, encode_fields({"stream": stream}), text.encode("utf-8", "replace")))
        if self._call == NO_CALL:
            self._flush()

    # --- loading ----------------------------------------------------------------------------------------------------

    def _hello(self, fields: Dict[str, str]) -> None:
        ready = {"lease": fields["lease"], "kinds": _KINDS, "language": "python"}
        ready.update({"credit": str(_CREDIT), "concurrency": "1"})
        if not self._loaded:
            self._load(fields)
            ready["load_us"] = str(self._load_us)
            ready["modules"] = _shortened(environment_modules())
        self._out.append(encode(READY, NO_CALL, encode_fields(ready)))

    def _load(self, fields: Dict[str, str]) -> None:
        started = time.perf_counter()
        limit_memory(int(fields["memory"]))
        self._algorithm = Algorithm(fields["directory"], fields["entry"])
        try:
            self._algorithm.load()
        except BaseException as error:
            self._stop_printing()
            self._out.append(_error(NO_CALL, "LoadingError", _message(error), stack_trace(error)))
            self._flush()
            os._exit(1)
        self._stop_printing()
        self._loaded = True
        self._load_us = int((time.perf_counter() - started) * 1e6)

    def _stop_printing(self) -> None:
        self._stdout.next_call()
        self._stderr.next_call()

    # --- calls ------------------------------------------------------------------------------------------------------

    def _answer(self, frame: Frame) -> None:
        """Run one call. The previous reply leaves together with the word that this one has begun."""
        call = frame.call
        self._out.append(HEADER.pack(PROTOCOL_VERSION, ACCEPTED, 0, 0, call))
        self._flush()
        self._call = call
        started, used = time.perf_counter_ns(), time.thread_time_ns()
        fatal = False
        try:
            if _JSON_INPUT in frame.header:
                value = decode_input("json", frame.body)
            else:
                value = decode_input(decode_fields(frame.header)["content_type"], frame.body)
            kind, body = encode_result(self._algorithm.apply(value))
            reply = _reply(call, kind, body, started, used)
        except BaseException as error:
            reply, fatal = _failure(call, error), isinstance(error, _FATAL)
        self._stop_printing()
        self._out.append(reply)
        self._call = NO_CALL
        if fatal:
            self._flush()
            os._exit(1)


def _reply(call: bytes, kind: bytes, body: bytes, started: int, used: int) -> bytes:
    us = b"%d" % ((time.perf_counter_ns() - started) // 1000)
    cpu = b"%d" % ((time.thread_time_ns() - used) // 1000)
    header = b"%b\x00%c%b\x06cpu_us\x00%c%b" % (_TYPES[kind], len(us), us, len(cpu), cpu)
    return encode(REPLY, call, header, body)


def _failure(call: bytes, error: BaseException) -> bytes:
    kind, message = _kind(error)
    return _error(call, kind, message, stack_trace(error))


def _kind(error: BaseException) -> Tuple[str, str]:
    if isinstance(error, MemoryError):
        return "OutOfMemoryError", "the algorithm passed its memory limit"
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return "SystemExit", f"the algorithm called sys.exit({getattr(error, 'code', '')!r})"
    declared: Any = getattr(error, "error_type", None)
    return declared if isinstance(declared, str) else "AlgorithmError", _message(error)


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "the error's text cannot be read"
    named = type(error).__name__
    return (text if hasattr(error, "error_type") else f"{named}: {text}" if text else named)[:_MESSAGE_LIMIT]


def _error(call: bytes, kind: str, message: str, trace: str) -> bytes:
    header = encode_fields({"type": kind[:200], "message": message, "us": "0", "cpu_us": "0"})
    return encode(ERROR, call, header, trace.encode("utf-8", "replace"))


def _shortened(modules: List[str]) -> str:
    text = ",".join(modules)
    return text if len(text) < _MODULES_LIMIT else text[:_MODULES_LIMIT].rpartition(",")[0]


def main(descriptor: int = 3) -> None:
    """Serve on an inherited socket, then end at once: what user code left running must not hold the process."""
    try:
        Worker(socket.socket(fileno=descriptor)).run()
    except (OSError, ValueError):
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
