"""Several calls at a time. One thread reads and passes on; threads or tasks work on the calls and answer them."""

from __future__ import annotations

import os
import threading
from typing import Callable, Dict, List, Optional, Protocol

from slipway.sdk.frames import CALL, CANCEL, CREDIT, HELLO, STOP, Frame, decode_fields
from slipway.workers.runtimes.python import inheritance
from slipway.workers.runtimes.python.algorithm import Algorithm
from slipway.workers.runtimes.python.connection import Connection
from slipway.workers.runtimes.python.output import CallOutput
from slipway.workers.runtimes.python.process import ENDED
from slipway.workers.runtimes.python.running import Running, current_output
from slipway.workers.runtimes.python.threads import Threads


class Way(Protocol):
    """How calls are worked on. All but `run` is called by the thread that reads."""

    def run(self, read: Callable[[], None]) -> None:
        """Serve what `read` reads, which returns at the end of the stream."""

    def begin(self, call: Running) -> None:
        """Work on it, now or as soon as there is room, in the order of these calls."""

    def hear(self, call: Running, frame: Frame) -> None:
        """Heed a cancel, or credit for its stream."""


class Concurrent:
    """Serves a loaded version, `most` calls at a time. `ready` is what another hello is answered with."""

    def __init__(
        self,
        connection: Connection,
        algorithm: Algorithm,
        printed: Dict[str, CallOutput],
        ready: Callable[[Dict[str, str]], bytes],
        most: int,
    ) -> None:
        self._connection, self._ready = connection, ready
        self._plain = algorithm.plain_messages
        self._calls: Dict[bytes, Running] = {}  # not answered yet
        self._way = _tasks(algorithm, most) if algorithm.is_async else self._threads(algorithm, most)
        self._settling = threading.Lock()
        self._hello: Optional[Dict[str, str]] = None  # to be answered when no call is left
        self._stopping = False
        inheritance.install()
        for stream, output in printed.items():
            output.find = lambda stream=stream: current_output(stream)

    def run(self, frames: List[Frame]) -> None:
        """Serve from `frames` on until the other side closes or says stop. Raises OSError and ProtocolError."""
        self._way.run(lambda: self._read(frames))

    def _threads(self, algorithm: Algorithm, most: int) -> Way:
        return Threads(algorithm.apply, self._connection, self._calls, most)

    def _read(self, frames: List[Frame]) -> None:
        for frame in frames:
            self._take(frame)
        for frames in self._connection.attend():
            for frame in frames:
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.kind == CALL:
            if not self._stopping:
                call = self._calls[frame.call] = Running(frame, self._connection.send, self._ended, self._plain)
                self._way.begin(call)
        elif frame.kind in (CANCEL, CREDIT):
            known = self._calls.get(frame.call)
            if known is not None:
                self._way.hear(known, frame)
        elif frame.kind == HELLO:
            self._hello = decode_fields(frame.header)
            self._settle()
        elif frame.kind == STOP:
            self._stopping = True
            self._settle()

    def _ended(self, call: Running) -> None:
        """A call is answered."""
        self._calls.pop(call.id, None)
        if self._stopping or self._hello is not None:
            self._settle()

    def _settle(self) -> None:
        """Answer a hello, and end, once no call is left: that is what both of them ask."""
        if self._calls:
            return
        with self._settling:
            hello, self._hello = self._hello, None
            if hello is not None:
                self._connection.send(self._ready(hello))
            if self._stopping:
                os._exit(ENDED)


def _tasks(algorithm: Algorithm, most: int) -> Way:
    # asyncio takes 25 ms, which threads do not need.
    from slipway.workers.runtimes.python.tasks import Tasks

    return Tasks(algorithm.apply, most)
