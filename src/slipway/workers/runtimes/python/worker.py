"""The runner's main: the worker protocol on descriptor 3. Loads a version, and serves it in the way that suits it."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Callable, Dict, List, Optional

from slipway.sdk import platform, secrets
from slipway.sdk.client_transport import ADDRESS
from slipway.sdk.frames import HELLO, NO_CALL, READY, STOP, Frame, decode_fields, encode, encode_fields
from slipway.sdk.slices import SERVING_US, STARTING_US, all_threads, take_slices
from slipway.workers.runtimes.python import replies
from slipway.workers.runtimes.python.algorithm import Algorithm
from slipway.workers.runtimes.python.callouts import CallOuts
from slipway.workers.runtimes.python.connection import Connection
from slipway.workers.runtimes.python.failures import describe_loading
from slipway.workers.runtimes.python.output import CallOutput, mask_with
from slipway.workers.runtimes.python.process import (
    close_standard_input,
    die_with_parent,
    end_after,
    end_with,
    limit_memory,
    name_process,
    open_reserve,
)
from slipway.workers.runtimes.python.serial import Serial

_CREDIT = 16
_KINDS = "1,2,3,4,5,6,7,8,9,11,12,13,14,15"


class Worker:
    """Serves one version to whoever holds the other end of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = Connection(connection)
        self._callouts = CallOuts(self._connection)
        self._algorithm = Algorithm("", "")
        self._concurrency = self._batch = 1
        self._printed = {"stdout": CallOutput(self._emit("stdout"), 1), "stderr": CallOutput(self._emit("stderr"), 2)}
        self._cloning = False

    def run(self) -> None:
        """Load and serve, until the other side closes or says stop. Raises OSError and ProtocolError."""
        frames = self.prepare()
        if frames is not None:
            self.serve(frames)

    def prepare(self) -> Optional[List[Frame]]:
        """Load as the first hello says, and say ready; the frames that came behind it, None where none came."""
        self._take_over()
        while True:
            frames = self._connection.frames()
            if not frames:
                return None
            for position, frame in enumerate(frames):
                if frame.kind == HELLO:
                    self._start(decode_fields(frame.header))
                    return frames[position + 1 :]
                if frame.kind == STOP:
                    return None

    def clone(self) -> int:
        """Fork a prepared worker. The child puts a socket of its own in the place of this one's, and serves."""
        self._cloning = True
        try:
            return os.fork()
        finally:
            self._cloning = False

    def serve(self, frames: List[Frame]) -> None:
        """Serve what is loaded, beginning with these frames."""
        take_slices(SERVING_US, all_threads())
        (self._serial() if self._concurrency == 1 else self._concurrent())(frames)

    def _take_over(self) -> None:
        """The process's standard streams, and what is left of them in a process that user code forks."""
        close_standard_input()
        self._connection.socket.set_inheritable(False)
        sys.stdout, sys.stderr = self._printed["stdout"], self._printed["stderr"]
        platform.connect(self._callouts.ask)
        mask_with(secrets.mask)
        os.register_at_fork(after_in_child=self._let_go)

    def _let_go(self) -> None:
        if self._cloning:
            return
        for output in self._printed.values():
            output.in_forked_child()
        self._connection.let_go()

    def _emit(self, stream: str) -> Callable[[str], None]:
        """While loading, what is printed is sent at once."""
        return lambda text: self._connection.send(replies.log(NO_CALL, stream, text))

    # --- loading ----------------------------------------------------------------------------------------------------

    def _start(self, hello: Dict[str, str]) -> None:
        started = time.perf_counter_ns()
        self._load(hello)
        load_us = (time.perf_counter_ns() - started) // 1000
        if self._algorithm.apply_batch is not None:
            self._batch = int(hello.get("max_batch", "1"))
        else:
            self._concurrency = int(hello.get("concurrency", "1"))
        told = {"load_us": str(load_us), "modules": replies.shortened(self._algorithm.imported())}
        self._connection.send(self._ready(hello, **told))

    def _load(self, hello: Dict[str, str]) -> None:
        name_process(hello["algorithm"])
        concurrency = int(hello.get("concurrency", "1"))
        limit_memory(int(hello["memory"]), threads=concurrency if concurrency > 1 else 0)
        os.environ["ALGORITHMIA_API"] = ADDRESS
        self._algorithm = Algorithm(hello["directory"], hello["entry"])
        try:
            if hello.get("secrets"):
                self._learn_secrets()
            self._algorithm.load()
        except BaseException as error:
            open_reserve()
            self._stop_printing()
            failure = describe_loading(error, self._algorithm.plain_messages)
            self._connection.send(replies.error(NO_CALL, *failure))
            end_after(error)
        self._stop_printing()

    def _learn_secrets(self) -> None:
        """They are environment variables."""
        os.environ.update(secrets.fetch())

    def _stop_printing(self) -> None:
        for output in self._printed.values():
            output.next_call()

    def _ready(self, hello: Dict[str, str], **told: str) -> bytes:
        credit = str(max(_CREDIT, self._concurrency))
        ready = {"lease": hello["lease"], "kinds": _KINDS, "language": "python", "credit": credit}
        ready.update(concurrency=str(self._concurrency), batch=str(self._batch), **told)
        return encode(READY, NO_CALL, encode_fields(ready))

    # --- ways to serve ----------------------------------------------------------------------------------------------

    def _serial(self) -> Callable[[List[Frame]], None]:
        serial = Serial(self._connection, self._algorithm, self._printed, self._ready)
        self._callouts.current = serial.current
        return lambda frames: serial.run(frames, self._batch)

    def _concurrent(self) -> Callable[[List[Frame]], None]:
        # Some milliseconds, and megabytes, that only those with several calls at a time pay for.
        from slipway.workers.runtimes.python.concurrent import Concurrent
        from slipway.workers.runtimes.python.running import current_call

        self._callouts.current = current_call
        return Concurrent(self._connection, self._algorithm, self._printed, self._ready, self._concurrency).run


def main(descriptor: int = 3) -> None:
    """Serve on an inherited socket, then end at once: what user code left running must not hold the process."""
    end_with(Worker(socket.socket(fileno=descriptor)).run)


if __name__ == "__main__":
    die_with_parent(os.getppid())
    take_slices(STARTING_US)
    main()
