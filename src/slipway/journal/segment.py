"""One writer's segments on disk: made ahead at full size, appended to, cut back after a crash."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from slipway.journal.format import (
    HEADER_SIZE,
    SegmentHeader,
    encode_header,
    payload_path,
    segment_path,
)


class OpenSegment:
    """The segment that is being written, and its payload sibling."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self.path = path
        self.offset = offset  # where the next frame goes
        self.size = size
        self._file = os.open(path, os.O_RDWR)
        self._payloads = os.open(payload_path(path), os.O_RDWR | os.O_CREAT, 0o600)
        self._payload_offset = _whole_payloads(self._payloads)
        self._payloads_dirty = False

    @classmethod
    def create(cls, directory: Path, header: SegmentHeader, size: int) -> OpenSegment:
        """A new segment, complete with its header before it gets its name."""
        path = segment_path(directory, header.number)
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            # Allocated ahead, so that `fdatasync` has no new size to write and a full disk shows here, not mid-frame.
            os.posix_fallocate(descriptor, 0, size)
            os.pwrite(descriptor, encode_header(header), 0)
            os.fsync(descriptor)
        except OSError:
            temporary.unlink()
            raise
        finally:
            os.close(descriptor)
        temporary.rename(path)
        sync_directory(directory)
        return cls(path, HEADER_SIZE, size)

    def fits(self, length: int) -> bool:
        """Whether a frame of that many bytes still fits; an empty segment takes any."""
        return self.offset + length <= self.size or self.offset == HEADER_SIZE

    def append(self, frame: bytes, payloads: bytes) -> None:
        """Write payloads, then the frame, and sync the frame. Raises OSError with both cut back."""
        try:
            if payloads:
                data = len(payloads).to_bytes(4, "little") + zlib.crc32(payloads).to_bytes(4, "little") + payloads
                _write_all(self._payloads, data, self._payload_offset)
                self._payloads_dirty = True
            _write_all(self._file, frame, self.offset)
            os.fdatasync(self._file)
        except OSError:
            self._cut_back(len(frame))
            raise
        self.offset += len(frame)
        if payloads:
            self._payload_offset += len(data)

    def sync_payloads(self) -> None:
        """Bring payloads to disk, where any were written since the last time."""
        if self._payloads_dirty:
            os.fdatasync(self._payloads)
            self._payloads_dirty = False

    def close(self) -> None:
        """Sync and close."""
        self.sync_payloads()
        os.close(self._file)
        os.close(self._payloads)

    def _cut_back(self, length: int) -> None:
        try:
            os.ftruncate(self._payloads, self._payload_offset)
            os.pwrite(self._file, bytes(min(length, self.size - self.offset)), self.offset)
        except OSError:
            # The frame was never acknowledged; the next start finds and cuts what is left of it.
            return


def cut_tail(path: Path, offset: int, size: int) -> int:
    """Replace everything from `offset` by zeros; returns how many bytes of something else stood there."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        tail = os.pread(descriptor, os.fstat(descriptor).st_size - offset, offset).rstrip(b"\0")
        if tail:
            os.ftruncate(descriptor, offset)
            os.posix_fallocate(descriptor, 0, max(size, offset))
            os.fsync(descriptor)
        return len(tail)
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Make a rename in the directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    written = os.pwrite(descriptor, data, offset)
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)


def _whole_payloads(descriptor: int) -> int:
    """Where the last whole payload frame ends."""
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    offset = 0
    while offset + 8 <= len(data):
        length, crc = int.from_bytes(data[offset : offset + 4], "little"), data[offset + 4 : offset + 8]
        end = offset + 8 + length
        if not length or end > len(data) or zlib.crc32(data[offset + 8 : end]).to_bytes(4, "little") != crc:
            break
        offset = end
    os.ftruncate(descriptor, offset)
    return offset
