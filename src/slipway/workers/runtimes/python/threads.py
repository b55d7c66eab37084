"""A plain `apply` for several calls at a time: each in a thread."""

from __future__ import annotations

import threading
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Callable, Dict, Optional

from slipway.sdk.frames import CANCEL, Frame
from slipway.workers.runtimes.python.connection import Connection
from slipway.workers.runtimes.python.lazy import LAZY, Encoded, encode_lazy
from slipway.workers.runtimes.python.process import allow_stacks
from slipway.workers.runtimes.python.running import CURRENT, Running
from slipway.workers.runtimes.python.streams import send_items
from slipway.workers.runtimes.python.values import encode_result

Apply = Callable[[Any], Any]


class Threads:
    """As many threads as there are calls, up to `most`; started when they are needed, and kept.

    `calls` has all calls that are not answered. One that has begun cannot be stopped but between a stream's items.
    """

    def __init__(self, apply: Apply, connection: Connection, calls: Dict[bytes, Running], most: int) -> None:
        self._apply, self._connection, self._calls, self._most = apply, connection, calls, most
        self._waiting: Dict[bytes, Running] = {}
        self._queue: SimpleQueue[Running] = SimpleQueue()
        self._started = 0
        self._context = copy_context()  # what loading has set
        allow_stacks(most)

    def run(self, read: Callable[[], None]) -> None:
        """Serve what `read` reads, in this thread."""
        read()

    def begin(self, call: Running) -> None:
        """Have a thread work on it, now or as soon as one is free."""
        self._waiting[call.id] = call
        self._queue.put(call)
        if self._started < min(self._most, len(self._calls)):
            self._start()

    def hear(self, call: Running, frame: Frame) -> None:
        """A cancel answers what has not begun; a stream that has begun heeds it, and credit."""
        # Whoever takes it out of there has it: a thread, or this.
        if frame.kind == CANCEL and self._waiting.pop(call.id, None) is not None:
            call.give_up()
            return
        call.hear(frame)
        self._connection.wake()

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name=f"call-{self._started}", daemon=True).start()
        except RuntimeError:
            if not self._started:
                raise
            return  # the system allows no more: those that there are do it one after the other
        self._started += 1

    def _work(self) -> None:
        while True:
            call = self._queue.get()
            if self._waiting.pop(call.id, None) is not None:
                self._context.copy().run(self._serve, call)

    def _serve(self, call: Running) -> None:
        CURRENT.set(call)
        try:
            encoded = self._encoded(call)
        except BaseException as error:
            call.fail(error)
        else:
            call.succeed(encoded)

    def _encoded(self, call: Running) -> Optional[Encoded]:
        result = self._apply(call.begin())
        if type(result) not in LAZY:
            return encode_result(result)

        def stream(items: Any, wanted: int) -> None:
            call.wanted = wanted
            send_items(self._connection, call, items, call.item)

        return encode_lazy(result, call.header, stream)
