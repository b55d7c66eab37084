"""One of several calls that a worker has at a time: what it prints, what it uses, and what it comes to."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any, Callable, Dict, Optional, Tuple

from slipway.sdk.frames import Frame
from slipway.workers.runtimes.python import replies
from slipway.workers.runtimes.python.callouts import NO_CALL_RUNS
from slipway.workers.runtimes.python.failures import FATAL, Cancelled, describe
from slipway.workers.runtimes.python.lazy import Encoded
from slipway.workers.runtimes.python.output import Collected, SharedCollected
from slipway.workers.runtimes.python.process import end_after, open_reserve
from slipway.workers.runtimes.python.streams import Stream
from slipway.workers.runtimes.python.values import decode_input, encode_result, input_kind

_wall, _cpu = time.perf_counter_ns, time.thread_time_ns


class Running(Stream):
    """A call, from its frame to its answer, which it sends itself.

    CPU time is that of the thread that works on the call, while it works on this one; nanoseconds.
    """

    __slots__ = (
        "_cpu",
        "_ended",
        "_plain",
        "_printed",
        "_resumed",
        "_send",
        "_started",
        "body",
        "header",
        "id",
        "over",
    )

    def __init__(
        self, frame: Frame, send: Callable[[bytes], None], ended: Callable[[Running], None], plain: bool
    ) -> None:
        super().__init__()
        self.id, self.header, self.body = frame.call, frame.header, frame.body
        self.over = False
        self._send, self._ended, self._plain = send, ended, plain
        self._printed: Dict[str, SharedCollected] = {}
        self._started = self._cpu = self._resumed = 0

    def begin(self) -> Any:
        """Say that the author's code sees it now; its input. Raises UnreadableInput."""
        self._send(replies.accepted(self.id))
        self._started = _wall()
        self.resume()
        return decode_input(input_kind(self.header), self.body)

    def resume(self) -> None:
        """From now on this thread works on the call."""
        self._resumed = _cpu()

    def pause(self) -> None:
        """For now it works on others."""
        self._cpu += _cpu() - self._resumed

    def output(self, stream: str) -> Optional[Collected]:
        """Where what it prints is collected; nowhere once it is over."""
        if self.over:
            return None
        printed = self._printed.get(stream)
        if printed is None:
            # Two threads may come to this at once; only one of theirs is kept.
            printed = SharedCollected(lambda text: self._send(replies.log(self.id, stream, text)))
            printed = self._printed.setdefault(stream, printed)
        return printed

    def item(self, item: Any) -> None:
        """Send an item of its stream, behind what was printed. Raises ResultError."""
        encoded = encode_result(item)
        self._send(self._rest() + replies.item(self.id, *encoded))

    def succeed(self, encoded: Optional[Encoded]) -> None:
        """Answer with the result, or with the end of the stream where there is none."""
        us, cpu_us = self._used()
        if encoded is None:
            self._answer(replies.stream_end(self.id, us, cpu_us))
        else:
            self._answer(replies.result(self.id, *encoded, us, cpu_us))

    def fail(self, error: BaseException) -> None:
        """Answer with the error; one that the process cannot go on from ends it, and with it the other calls."""
        fatal = isinstance(error, FATAL)
        if fatal:
            open_reserve()
        elif self.cancelled:
            error = Cancelled()
        us, cpu_us = self._used()
        answer = replies.error(self.id, *describe(error, self._plain), us, cpu_us)
        if fatal:
            self._send(self._rest() + answer)
            end_after(error)
        self._answer(answer)

    def give_up(self) -> None:
        """Answer that it was cancelled before it began."""
        self._answer(replies.not_begun(self.id))

    def _answer(self, frame: bytes) -> None:
        self.over = True
        self._send(self._rest() + frame)
        self.body = b""  # a thread that the author left running may hold this for long
        self._ended(self)

    def _rest(self) -> bytes:
        texts = [(stream, printed.take()) for stream, printed in self._printed.items()]
        return b"".join([replies.log(self.id, stream, text) for stream, text in texts if text])

    def _used(self) -> Tuple[int, int]:
        return (_wall() - self._started) // 1000, (self._cpu + _cpu() - self._resumed) // 1000


CURRENT: ContextVar[Optional[Running]] = ContextVar("slipway_call", default=None)


def current_call() -> bytes:
    """The id of the call that runs here; raises RuntimeError where there is none."""
    call = CURRENT.get()
    if call is None or call.over:
        raise RuntimeError(NO_CALL_RUNS)
    return call.id


def current_output(stream: str) -> Optional[Collected]:
    """Where what is printed here is collected, if a call runs here."""
    call = CURRENT.get()
    return call.output(stream) if call is not None else None
