"""What a call prints: caught at `sys.stdout` and `sys.stderr`, sent as log frames of that call."""

from __future__ import annotations

import io
import os
from threading import get_ident
from typing import Any, Callable, List

FLUSH_AT = 8 * 1024  # characters
_MOST = 256 * 1024  # of one call
_NOTE = "\n[output truncated]\n"


class CallOutput(io.TextIOBase):
    """Stands in for `sys.stdout`. `emit(text)` is called with what was collected, on the thread that made this.

    Other threads only add to what that thread sends. A process that user code forks prints to the worker's log.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, emit: Callable[[str], None], descriptor: int) -> None:
        super().__init__()
        self._emit, self._descriptor = emit, descriptor
        self.flush_at = 0  # while loading, so that what was printed before a crash is known
        self._parts: List[str] = []
        self._size = 0
        self._total = 0
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
        """Collect; what a call prints beyond 256 KiB is dropped, with a note."""
        if self._forked:
            os.write(self._descriptor, text.encode("utf-8", "replace"))
            return len(text)
        if self._total > _MOST:
            return len(text)
        self._total += len(text)
        if self._total > _MOST:
            text = text[: _MOST - self._total] + _NOTE
        self._parts.append(text)
        self._size += len(text)
        if self._size > self.flush_at and get_ident() == self._owner:
            self.send()
        return len(text)

    def send(self) -> None:
        """Emit what is there."""
        if self._parts:
            parts, self._parts = self._parts, []
            self._size = 0
            self._emit("".join(parts))

    def next_call(self) -> None:
        """Emit the rest, and count anew."""
        if self._parts:
            self.send()
        self._total = 0

    def in_forked_child(self) -> None:
        """The socket is the parent's: print to the log from now on."""
        self._forked = True
        self._parts = []


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
