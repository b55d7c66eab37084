"""Walks one segment's frames from disk, a piece at a time, also while its writer appends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from slipway.journal.format import HEADER_SIZE, MAX_FRAME, Frame, decode_header, frame_at, frame_behind

_FIRST_PIECE = 16 * 1024  # what a follower reads at a tail that has not moved
_PIECE = 2**20


class SegmentScan:
    """The whole frames of a segment from `offset` on; `offset` then is where the last of them ended.

    Raises FileNotFoundError, and for the header NewerFormat and JournalDamaged.
    """

    def __init__(self, path: Path, offset: int = HEADER_SIZE) -> None:
        self.path = path
        self.offset = max(offset, HEADER_SIZE)
        with path.open("rb") as file:
            self.header = decode_header(file.read(HEADER_SIZE), path)

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order of the file, up to the end of the written part or to damage."""
        data, base, piece = b"", self.offset, _FIRST_PIECE
        with self.path.open("rb", buffering=0) as file:
            while True:
                frame = frame_at(data, self.offset - base, base)
                if frame is not None:
                    self.offset = frame.end
                    yield frame
                    continue
                held = len(data) - (self.offset - base)
                missing = _missing(data, self.offset - base)
                data, base = os.pread(file.fileno(), max(piece, held + missing), self.offset), self.offset
                piece = _PIECE
                if not missing or len(data) <= held:
                    return

    def tail(self) -> bytes:
        """What stands behind the last whole frame, without the zeros at its end: empty unless torn or damaged."""
        tail, zeros = b"", 0
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            while piece := file.read(_PIECE):
                if piece.count(0) == len(piece):
                    zeros += len(piece)
                else:
                    tail, zeros = tail + bytes(zeros) + piece, 0
        return tail.rstrip(b"\0")

    def hidden(self, tail: bytes, sequence: int) -> Frame | None:
        """A whole frame behind the damage: a torn write has none, for it is the last thing in a journal."""
        return frame_behind(tail + bytes(64), sequence)


def _missing(data: bytes, position: int) -> int:
    """Bytes that must be read before it can be said what stands at `position`; 0 where it is no frame."""
    held = len(data) - position
    if held < 8:
        return 8 - held
    length = int.from_bytes(data[position : position + 4], "little")
    return max(0, 8 + length - held) if 0 < length <= MAX_FRAME else 0
