"""What a call prints: caught at `sys.stdout` and `sys.stderr`, sent as log frames of that call."""

from __future__ import annotations

import io
from typing import Callable, List

_FLUSH_AT = 8 * 1024  # characters
_MOST = 256 * 1024  # of one call


class CallOutput(io.TextIOBase):
    """Stands in for `sys.stdout`. `emit(text)` is called with what was collected."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        super().__init__()
        self._emit = emit
        self._parts: List[str] = []
        self._size = 0
        self._total = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Collect; what a call prints beyond 256 KiB is dropped, with a note."""
        if self._total > _MOST:
            return len(text)
        self._total += len(text)
        if self._total > _MOST:
            text = text[: _MOST - self._total] + "\n[output truncated]\n"
        self._parts.append(text)
        self._size += len(text)
        if self._size > _FLUSH_AT:
            self.send()
        return len(text)

    def send(self) -> None:
        """Emit what is there."""
        if self._parts:
            text = "".join(self._parts)
            self._parts, self._size = [], 0
            self._emit(text)

    def next_call(self) -> None:
        """Emit the rest, and count anew."""
        self.send()
        self._total = 0
