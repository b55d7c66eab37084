"""What a writer finds when it opens its journal: where to go on, what was torn, which calls were left open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from slipway.errors import JournalDamaged
from slipway.journal.format import GENESIS, HEADER_SIZE, Frame, payload_path, segments
from slipway.journal.payloads import payload_end
from slipway.journal.records import CallRecord, Record, decode_records
from slipway.journal.scan import SegmentScan

OPEN_CALLS = "journal.open-calls"  # the event that carries open starts over to the next segment
OpenCalls = dict[bytes, CallRecord]  # start records without an end, by call id


class Recovered(NamedTuple):
    """The state in which the last process left a writer's journal."""

    segment: Path | None
    number: int
    offset: int
    payload_offset: int
    sequence: int  # of the last frame; 0 for none
    head: bytes  # its hash
    bytes_cut: int
    open_calls: OpenCalls


def recover(directory: Path) -> Recovered:
    """Walk the last segment and cut its torn tail.

    Raises NewerFormat, or JournalDamaged where it is not torn but changed: then nothing is touched.
    """
    found = segments(directory)
    if not found:
        _remove_leftovers(directory)
        return Recovered(None, 0, HEADER_SIZE, 0, 0, GENESIS, 0, {})
    # A segment without a frame was begun in the last moment: the calls that are open stand in the one before.
    before = _Walk(found[-2]) if len(found) > 1 and not any(SegmentScan(found[-1])) else None
    walk = _Walk(found[-1], before)
    payload_offset = payload_end(walk.path, walk.sequence)
    _remove_leftovers(directory)
    _cut(walk.path, walk.offset, len(walk.tail))
    _truncate(payload_path(walk.path), payload_offset)
    return Recovered(
        walk.path, walk.number, walk.offset, payload_offset, walk.sequence, walk.head, len(walk.tail), walk.open_calls
    )


def track(open_calls: OpenCalls, record: Record) -> None:
    """Keep `open_calls` the starts that have no end yet, and will have none once this process is gone."""
    if isinstance(record, CallRecord):
        if record.job:
            return  # whoever keeps the job sees to its end
        if record.phase == "start":
            open_calls[record.call_id] = record
        elif record.phase == "end":
            open_calls.pop(record.call_id, None)
    elif record.verb == OPEN_CALLS:
        for text in record.detail.values():
            start = msgspec.json.decode(text, type=CallRecord)
            open_calls[start.call_id] = start


class _Walk:
    """One segment, walked from end to end; changes nothing."""

    def __init__(self, path: Path, before: _Walk | None = None) -> None:
        scan = SegmentScan(path)
        self.path, self.number = path, scan.header.number
        self.sequence, self.head = scan.header.first_sequence - 1, scan.header.previous
        self.open_calls: OpenCalls = before.open_calls if before else {}
        if before and (before.sequence, before.head) != (self.sequence, self.head):
            raise JournalDamaged(f"{path}: does not follow frame {before.sequence}, the last of {before.path.name}")
        for frame in scan:
            self._take(frame)
        self.offset, self.tail = scan.offset, scan.tail()
        hidden = scan.hidden(self.tail, self.sequence)
        if hidden is not None:
            raise JournalDamaged(
                f"{path}: frame {self.sequence + 1} at byte {self.offset} is damaged, but frame {hidden.sequence} "
                f"stands behind it at byte {self.offset + hidden.offset}"
            )

    def _take(self, frame: Frame) -> None:
        if frame.sequence != self.sequence + 1 or frame.previous != self.head:
            raise JournalDamaged(
                f"{self.path}: frame {frame.sequence} at byte {frame.offset} does not follow frame {self.sequence}"
            )
        try:
            self.sequence, self.head = frame.sequence, frame.hash()
            for record, _ in decode_records(frame.records):
                track(self.open_calls, record)
        except msgspec.MsgspecError as error:
            raise JournalDamaged(f"{self.path}: frame {frame.sequence} cannot be read: {error}") from error


def _remove_leftovers(directory: Path) -> None:
    for pattern in ("*.new", "*.part"):
        for leftover in directory.glob(pattern):
            leftover.unlink()


def _cut(path: Path, offset: int, length: int) -> None:
    """Zeros in place of a torn tail; the file keeps its allocated size."""
    if length:
        with path.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), bytes(length), offset)
            os.fsync(file.fileno())


def _truncate(path: Path, size: int) -> None:
    if path.exists() and path.stat().st_size > size:
        os.truncate(path, size)
