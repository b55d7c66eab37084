"""Build logs: a file that is written line by line and may be followed while it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

_READ_BYTES = 64 * 1024
_LIMIT_BYTES = 8 * 2**20  # a runaway build may print without end
_CUT = b"[the log is longer than 8 MiB: the rest is left out]\n"


class BuildLog:
    """One build's log. Its methods are for the loop's thread; whoever follows sees each line at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended = False
        self._grown = asyncio.Event()
        self._written = path.stat().st_size if path.exists() else 0

    def write(self, text: str) -> None:
        """Append whole lines; those beyond the limit are left out."""
        data = _lines(text)
        room = _LIMIT_BYTES - self._written
        if room <= 0 or not data:
            return
        self._written += len(data)
        if len(data) > room:
            data = data[: data.rfind(b"\n", 0, room) + 1] + _CUT
        self._append(data)

    def conclude(self, text: str) -> None:
        """Append the build's result, which is never left out."""
        self._append(_lines(text))

    def end(self) -> None:
        """Nothing will follow."""
        self.ended = True
        self._wake()

    async def follow(self) -> AsyncIterator[str]:
        """Every line from the first on, without its end, until the log ends."""
        position, rest = 0, b""
        while True:
            # Both taken before reading, so that nothing written in between is missed.
            grown, ended = self._grown, self.ended
            chunk = _read(self.path, position)
            position += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
            if not chunk:
                if ended:
                    return
                await grown.wait()

    def _append(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(data)
        self._wake()

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


def read_log(path: Path) -> str:
    """All that a log holds so far."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _lines(text: str) -> bytes:
    return "".join(f"{line}\n" for line in text.splitlines()).encode(errors="replace")


def _read(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(_READ_BYTES)
    except FileNotFoundError:
        return b""
