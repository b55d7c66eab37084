"""Payloads on disk: beside each segment a sibling that can be erased while the chain of its records holds.

frame     u32 length of what follows the CRC, u32 CRC-32 of that, u64 sequence of the frame with their records,
          MessagePack array of payloads
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from slipway.journal.format import MAX_FRAME, payload_path, segments
from slipway.journal.records import CallRecord, Entry, Payload, decode_payloads, encode_payloads

_HEAD = struct.Struct("<IIQ")


def encode_payload_frame(sequence: int, payloads: list[Payload]) -> bytes:
    """A payload frame; nothing for no payloads."""
    if not payloads:
        return b""
    body = sequence.to_bytes(8, "little") + encode_payloads(payloads)
    return len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body


class PayloadFrame(NamedTuple):
    """The payloads of one frame of records."""

    sequence: int
    end: int  # byte behind it
    payloads: list[Payload]


def payload_frames(segment: Path, offset: int = 0) -> Iterator[PayloadFrame]:
    """The payload frames beside a segment; none where they were erased.

    One that does not match its CRC comes empty: payloads reach the disk up to a second after their records, so that a
    loss of power may leave gaps.
    """
    with contextlib.suppress(FileNotFoundError), payload_path(segment).open("rb", buffering=0) as file:
        for start, length, sequence in _heads(file.fileno(), offset):
            data = os.pread(file.fileno(), 8 + length, start)
            whole = len(data) == 8 + length and zlib.crc32(data[8:]) == int.from_bytes(data[4:8], "little")
            yield PayloadFrame(sequence, start + 8 + length, _decoded(data[_HEAD.size :]) if whole else [])


def payload_end(segment: Path, sequence: int) -> int:
    """Where the payloads of records up to `sequence` end: what stands behind belongs to nothing recorded."""
    end = 0
    with contextlib.suppress(FileNotFoundError), payload_path(segment).open("rb", buffering=0) as file:
        for offset, length, found in _heads(file.fileno(), 0):
            if found > sequence:
                break
            end = offset + 8 + length
    return end


def matches(record: CallRecord, payload: Payload) -> bool:
    """Whether a payload is what its record's digests say."""
    return _matches(record.input_digest, payload.salt, payload.input) and _matches(
        record.result_digest, payload.salt, payload.result
    )


class Payloads:
    """Finds the payloads of entries that are asked for in the order of each writer's journal."""

    def __init__(self, directory: Path, since: float = 0.0) -> None:
        self._directory, self._since = directory, since
        self._streams: dict[str, _Stream] = {}

    def find(self, entry: Entry) -> Payload | None:
        """The payload of a call's entry; None where none was kept."""
        record = entry.record
        if not isinstance(record, CallRecord) or not (record.input_digest or record.result_digest):
            return None
        stream = self._streams.get(entry.writer)
        if stream is None or entry.sequence < stream.asked:
            stream = self._streams[entry.writer] = _Stream(self._directory / entry.writer, self._since)
        return stream.at(entry.sequence).get(record.call_id)


def find_payload(directory: Path, call_id: bytes) -> Payload | None:
    """The payload of one call in any writer's journal below `directory`."""
    for path in sorted(directory.glob("*/[0-9]*.journal"), reverse=True):
        if not _holds(payload_path(path), call_id):
            continue
        for frame in payload_frames(path):
            for payload in frame.payloads:
                if payload.call_id == call_id:
                    return payload
    return None


class _Stream:
    """One writer's payload frames, read forwards, also while they grow."""

    def __init__(self, directory: Path, since: float) -> None:
        self.asked = 0  # the last sequence asked for
        self._directory, self._since = directory, since
        self._segment: Path | None = None
        self._offset = 0
        self._frames: Iterator[PayloadFrame] = iter(())
        self._sequence, self._payloads = 0, dict[bytes, Payload]()

    def at(self, sequence: int) -> dict[bytes, Payload]:
        """The payloads of the records of that frame, by call id."""
        self.asked = sequence
        while self._sequence < sequence:
            frame = self._following()
            if frame is None:
                return {}
            self._offset, self._sequence = frame.end, frame.sequence
            self._payloads = {payload.call_id: payload for payload in frame.payloads}
        return self._payloads if self._sequence == sequence else {}

    def _following(self) -> PayloadFrame | None:
        frame = next(self._frames, None)
        if frame is None and self._segment is not None:
            # The segment may have grown since its end was reached.
            self._frames = payload_frames(self._segment, self._offset)
            frame = next(self._frames, None)
        while frame is None and (segment := self._next_segment()) is not None:
            self._segment, self._offset = segment, 0
            self._frames = payload_frames(segment)
            frame = next(self._frames, None)
        return frame

    def _next_segment(self) -> Path | None:
        for path in segments(self._directory):
            if (self._segment is None or path.name > self._segment.name) and path.stat().st_mtime >= self._since:
                return path
        return None


def _heads(descriptor: int, offset: int) -> Iterator[tuple[int, int, int]]:
    """Offset, length and sequence of each payload frame, as far as their lengths lead."""
    size, last = os.fstat(descriptor).st_size, 0
    while offset + _HEAD.size <= size:
        length, _, sequence = _HEAD.unpack(os.pread(descriptor, _HEAD.size, offset))
        if not 8 < length <= MAX_FRAME or offset + 8 + length > size or sequence < last:
            return
        yield offset, length, sequence
        offset, last = offset + 8 + length, sequence


def _decoded(data: bytes) -> list[Payload]:
    try:
        return decode_payloads(data)
    except msgspec.MsgspecError:
        return []


def _matches(digest: bytes, salt: bytes, data: bytes | None) -> bool:
    return data is None or sha256(salt + data).digest() == digest


def _holds(path: Path, call_id: bytes) -> bool:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return view.find(call_id) >= 0
    except (FileNotFoundError, ValueError):  # erased, or empty
        return False
