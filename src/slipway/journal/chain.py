"""One writer's chain on disk: the next frame, the next segment, and which calls are open. One thread at a time."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from slipway.ids import id_text
from slipway.journal.format import SegmentHeader, encode_frame
from slipway.journal.payloads import encode_payload_frame
from slipway.journal.records import EventRecord, Payload, Record, encode_record, new_event
from slipway.journal.recovery import OPEN_CALLS, OpenCalls, recover, track
from slipway.journal.segment import OpenSegment, prepare

_ROOM_BYTES = 2**20  # what segment and disk must have left to count as good again


class Batch(NamedTuple):
    """Records encoded as one frame, for one place in the chain."""

    records: list[Record]
    encoded: list[bytes]
    payloads: bytes  # a payload frame, or nothing
    frame: bytes
    digest: bytes  # of the frame, 32 bytes


class Chain:
    """Opening cuts a torn tail, closes calls that were left open, and reports both in the journal itself.

    Raises NewerFormat, JournalDamaged, OSError.
    """

    def __init__(self, directory: Path, name: str, segment_bytes: int) -> None:
        self._directory, self._name, self._segment_bytes = directory, name, segment_bytes
        self._next_lock = threading.Lock()  # the next segment may be prepared by another thread
        found = recover(directory)
        self.head = (found.sequence, found.head)  # sequence and hash of the last durable frame
        self._number = found.number
        self._open_calls: OpenCalls = {}
        if found.segment is not None and found.offset < segment_bytes:
            self._segment = OpenSegment(found.segment, found.offset, found.payload_offset, segment_bytes)
        else:
            self._segment = self._next_segment()
        records = self._cut_report(found.bytes_cut) + _interrupted(found.open_calls)
        if records:
            self.write(self.prepare(records, [encode_record(record) for record in records], []))

    def prepare(self, records: list[Record], encoded: list[bytes], payloads: list[Payload]) -> Batch:
        """The frame behind the last one that was written; it must be the next that is."""
        frame, digest = self._frame(encoded)
        return Batch(records, encoded, encode_payload_frame(self.head[0] + 1, payloads), frame, digest)

    def write(self, batch: Batch) -> None:
        """Append a frame and wait until it is on disk. Raises OSError; `repair` must follow it."""
        frame, digest = batch.frame, batch.digest
        if not self._segment.fits(len(frame)):
            self._roll()
        if self._segment.empty and self._open_calls:
            # Recovery reads the last segment only, so that it must name the calls that were open when it began.
            frame, digest = self._frame([encode_record(self._carried()), *batch.encoded])
        self._segment.append(frame, batch.payloads)
        self.head = (self.head[0] + 1, digest)
        for record in batch.records:
            track(self._open_calls, record)

    def repair(self) -> None:
        """Remove what a failed write has left, and make sure that the next ones have room. Raises OSError."""
        self._segment.repair()
        if not self._segment.fits(_ROOM_BYTES):
            self._prepare_next()
        _probe(self._directory / "probe.part")

    def look_ahead(self) -> None:
        """Allocate the next segment once this one is half full; any thread may call it. Raises OSError."""
        if not self._segment.fits(self._segment_bytes // 2):
            self._prepare_next()

    def sync_payloads(self) -> None:
        """Bring payloads to disk; any thread may call it. Raises OSError."""
        self._segment.sync_payloads()

    def close(self) -> None:
        """Sync and close. Raises OSError."""
        self._segment.close()
        for leftover in self._directory.glob("*.new"):
            leftover.unlink()

    def _frame(self, encoded: list[bytes]) -> tuple[bytes, bytes]:
        sequence, previous = self.head
        return encode_frame(sequence + 1, previous, encoded)

    def _roll(self) -> None:
        following = self._next_segment()
        with contextlib.suppress(OSError):
            # Records are on disk already; payloads that cannot be synced are lost only if the machine fails.
            self._segment.close()
        self._segment = following

    def _next_segment(self) -> OpenSegment:
        sequence, previous = self.head
        header = SegmentHeader(self._name, self._number + 1, sequence + 1, previous)
        with self._next_lock:
            segment = OpenSegment.create(self._directory, header, self._segment_bytes)
            self._number += 1
        return segment

    def _prepare_next(self) -> None:
        with self._next_lock:
            prepare(self._directory, self._number + 1, self._segment_bytes)

    def _carried(self) -> EventRecord:
        starts = self._open_calls.values()
        detail = {id_text(start.call_id): msgspec.json.encode(start).decode() for start in starts}
        return self._event(OPEN_CALLS, "carried over", detail)

    def _cut_report(self, bytes_cut: int) -> list[Record]:
        if not bytes_cut:
            return []
        detail = {"bytes": str(bytes_cut), "segment": self._segment.path.name, "offset": str(self._segment.offset)}
        return [self._event("journal.recover", "torn tail cut", detail)]

    def _event(self, verb: str, outcome: str, detail: dict[str, str]) -> EventRecord:
        return new_event(self._name, verb, f"journal/{self._name}", outcome, detail)


def _probe(path: Path) -> None:
    """Raises OSError unless the disk has room for what has no room set aside: payloads."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _ROOM_BYTES)
    finally:
        os.close(descriptor)
        path.unlink()


def _interrupted(open_calls: OpenCalls) -> list[Record]:
    """End records for starts whose process has gone."""
    ends: list[Record] = []
    for start in open_calls.values():
        start.phase, start.status, start.error_type, start.time = "end", 500, "Interrupted", time.time()
        ends.append(start)
    return ends
