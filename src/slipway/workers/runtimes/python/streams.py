"""Items of generators, sent as they come and never ahead of what the platform has asked for."""

from __future__ import annotations

from typing import Any, Callable

from slipway.sdk.frames import CANCEL, CREDIT, Frame, decode_fields
from slipway.workers.runtimes.python.connection import Connection
from slipway.workers.runtimes.python.failures import FATAL, Cancelled
from slipway.workers.runtimes.python.lazy import Items


class Stream:
    """What the platform has asked for: `wanted` items by the call itself, `more` since then.

    One thread hears, one sends: neither writes what the other does.
    """

    __slots__ = ("cancelled", "more", "sent", "wanted")

    def __init__(self, wanted: int = 0) -> None:
        self.wanted, self.more, self.sent = wanted, 0, 0
        self.cancelled = False

    @property
    def may_send(self) -> bool:
        """Whether there is credit for an item."""
        return self.sent < self.wanted + self.more

    def hear(self, frame: Frame) -> None:
        """Heed what the platform says about the call."""
        if frame.kind == CREDIT:
            self.more += int(decode_fields(frame.header)["credit"])
        elif frame.kind == CANCEL:
            self.cancelled = True


def send_items(connection: Connection, stream: Stream, items: Items, emit: Callable[[Any], None]) -> None:
    """Emit each item once there is credit for it. Raises Cancelled, and what the generator or `emit` raises.

    One item is worked on ahead, so that the end needs no credit. In any case the generator's `finally` has run.
    """
    try:
        for item in items:
            _wait(connection, stream)
            emit(item)
            stream.sent += 1
    except BaseException:
        _close(items)
        raise


def _wait(connection: Connection, stream: Stream) -> None:
    """A cancel is looked for before each item: next to sending one, a receive that does not wait costs little."""
    connection.poll()
    if not (stream.may_send or stream.cancelled):
        connection.wait(lambda: stream.may_send or stream.cancelled or None)
    if stream.cancelled:
        raise Cancelled


def _close(items: Items) -> None:
    """What the author's `finally` raises comes too late to matter, unless the process cannot go on."""
    try:
        items.close()
    except FATAL:
        raise
    except BaseException:
        return
