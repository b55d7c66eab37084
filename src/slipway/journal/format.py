"""Segments and frames on disk, journal format 1.

    segment   header, then frames, then zeros: a length of zero ends the written part of a preallocated segment
    header    8 B magic, u16 format, u16 length of the writer's name, u32 segment number, u64 sequence of its first
              frame, 32 B SHA-256 of the frame before it, 32 B name (UTF-8, zero-padded), u32 CRC of all this
    frame     u32 length of what follows the CRC, u32 CRC-32 of it, u64 sequence, 32 B SHA-256 of the frame before,
              MessagePack array of records

Integers are little-endian. A frame's hash is the SHA-256 of the whole frame, length and CRC included.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from slipway.errors import NewerFormat, SlipwayError

FORMAT = 1
MAGIC = b"SLIPWAYJ"
HEADER = struct.Struct("<8sHHIQ32s32s")
HEADER_SIZE = HEADER.size + 4
FRAME = struct.Struct("<IIQ32s")
GENESIS = bytes(32)  # stands for the frame before the first
_PREFIX = struct.Struct("<Q32s")
MAX_FRAME = 2**30


class JournalDamaged(SlipwayError):
    """A journal segment was changed or damaged on disk. `slipway audit verify` says where; restore it from a backup."""


class SegmentHeader(NamedTuple):
    """The first bytes of a segment."""

    writer: str
    number: int
    first_sequence: int
    previous: bytes  # 32 bytes


class FrameAt(NamedTuple):
    """A whole frame and where it stands."""

    offset: int
    end: int
    sequence: int
    previous: bytes
    payload: bytes
    hash: bytes


def encode_header(header: SegmentHeader) -> bytes:
    """The bytes of a segment's header."""
    name = header.writer.encode()
    data = HEADER.pack(MAGIC, FORMAT, len(name), header.number, header.first_sequence, header.previous, name)
    return data + zlib.crc32(data).to_bytes(4, "little")


def decode_header(data: bytes, path: Path) -> SegmentHeader:
    """The reverse; raises NewerFormat or JournalDamaged."""
    if len(data) < HEADER_SIZE:
        raise JournalDamaged(f"{path}: the segment's header is cut off")
    magic, version, length, number, sequence, previous, name = HEADER.unpack_from(data)
    if magic == MAGIC and version > FORMAT:
        raise NewerFormat(f"{path}: journal format {version}, this Slipway knows {FORMAT}")
    if magic != MAGIC or zlib.crc32(data[: HEADER.size]) != int.from_bytes(data[HEADER.size : HEADER_SIZE], "little"):
        raise JournalDamaged(f"{path}: not the header of a journal segment")
    return SegmentHeader(name[:length].decode(), number, sequence, previous)


def encode_frame(sequence: int, previous: bytes, payload: bytes) -> tuple[bytes, bytes]:
    """A frame and its hash."""
    body = _PREFIX.pack(sequence, previous) + payload
    frame = len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body
    return frame, hashlib.sha256(frame).digest()


def frame_at(data: bytes | memoryview, offset: int) -> FrameAt | None:
    """The frame at `offset`; None where nothing whole and unbroken stands there."""
    if offset + FRAME.size > len(data):
        return None
    length, crc, sequence, previous = FRAME.unpack_from(data, offset)
    end = offset + 8 + length
    if length < _PREFIX.size or length > MAX_FRAME or end > len(data) or zlib.crc32(data[offset + 8 : end]) != crc:
        return None
    digest = hashlib.sha256(data[offset:end]).digest()
    return FrameAt(offset, end, sequence, previous, bytes(data[offset + FRAME.size : end]), digest)


def is_end(data: bytes | memoryview, offset: int) -> bool:
    """Whether the written part ends here: nothing but zeros where a length would stand."""
    return bytes(data[offset : offset + 8]).strip(b"\0") == b""


def segment_path(directory: Path, number: int) -> Path:
    """Where a writer's segment lies."""
    return directory / f"{number:08d}.journal"


def payload_path(segment: Path) -> Path:
    """The sibling with the payloads of a segment's calls: frames of u32 length, u32 CRC-32, MessagePack."""
    return segment.with_suffix(".payloads")


def segments(directory: Path) -> list[Path]:
    """A writer's segments, oldest first."""
    return sorted(directory.glob("[0-9]*.journal"))
