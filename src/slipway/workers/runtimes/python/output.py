"""What a call prints: caught at `sys.stdout` and `sys.stderr`, sent as log frames of that call."""

from __future__ import annotations

import io
import os
import threading
from threading import get_ident
from typing import Any, Callable, List, Optional

FLUSH_AT = 8 * 1024  # characters
_MOST = 256 * 1024  # of one call
_NOTE = "\n[output truncated]\n"


masked: Callable[[str], str] = str  # takes what must not be seen out of a text; see `mask_with`


def mask_with(mask: Callable[[str], str]) -> None:
    """Have everything that is printed from now on looked through."""
    global masked
    masked = mask


class Collected:
    """What one call, or loading, prints to one stream. `emit(text)` is called with what was collected.

    What is printed beyond 256 KiB is dropped, with a note.
    """

    def __init__(self, emit: Callable[[str], None], flush_at: int = FLUSH_AT) -> None:
        self.emit, self.flush_at = emit, flush_at
        self._parts: List[str] = []
        self._size = 0
        self._total = 0

    def add(self, text: str) -> None:
        """Collect; emit where it is much."""
        if self._total > _MOST:
            return
        self._total += len(text)
        if self._total > _MOST:
            text = text[: _MOST - self._total] + _NOTE
        self._parts.append(text)
        self._size += len(text)
        if self._size > self.flush_at and self._may_send():
            self.send()

    def send(self) -> None:
        """Emit what is there."""
        text = self.take()
        if text:
            self.emit(text)

    def take(self) -> str:
        """What is there and was not emitted."""
        parts, self._parts = self._parts, []
        self._size = 0
        return masked("".join(parts))

    def _may_send(self) -> bool:
        return True


class SharedCollected(Collected):
    """The same, printed to from several threads, each of which may send."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        super().__init__(emit)
        # Reentrant: what the author prints in a finaliser may interrupt whoever prints.
        self._lock = threading.RLock()

    def add(self, text: str) -> None:
        """Collect; emit where it is much."""
        with self._lock:
            super().add(text)

    def take(self) -> str:
        """What is there and was not emitted."""
        with self._lock:
            return super().take()


class CallOutput(Collected, io.TextIOBase):
    """Stands in for `sys.stdout`. Collects what is printed until the next call, and emits on the thread that made this.

    Other threads only add to what that thread sends. A process that user code forks prints to the worker's log. Where
    `find` is given, it leads to what collects instead; what it finds no place for goes to the log too.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, emit: Callable[[str], None], descriptor: int) -> None:
        super().__init__(emit, flush_at=0)  # while loading, so that what was printed before a crash is known
        self.find: Optional[Callable[[], Optional[Collected]]] = None
        self._descriptor = descriptor
        self._owner = get_ident()
        self._forked = False
        self.buffer = _Bytes(self)

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Where child processes print: the worker's log."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Collect, or pass on to who does."""
        place: Optional[Collected] = None if self._forked else self if self.find is None else self.find()
        if place is None:
            os.write(self._descriptor, text.encode("utf-8", "replace"))
        else:
            place.add(text)
        return len(text)

    def next_call(self) -> None:
        """Emit the rest, and count anew."""
        if self._parts:
            self.send()
        self._total = 0

    def in_forked_child(self) -> None:
        """The socket is the parent's: print to the log from now on."""
        self._forked = True
        self._parts = []

    def _may_send(self) -> bool:
        return get_ident() == self._owner


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer`: bytes, taken for UTF-8."""

    def __init__(self, output: CallOutput) -> None:
        super().__init__()
        self._output = output

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Pass on."""
        self._output.write(bytes(data).decode("utf-8", "replace"))
        return len(data)
