"""Segments and frames on disk, journal format 1. The whole specification is docs/reference/journal.md.

    segment   header, then frames, then zeros: a length of zero ends the written part of a preallocated segment
    header    8 B magic, u16 format, u16 length of the writer's name, u32 segment number, u64 sequence of its first
              frame, 32 B hash of the frame before it, 32 B name (UTF-8, zero-padded), u32 CRC-32 of all this
    frame     u32 length of what follows the CRC, u32 CRC-32 of that, u64 sequence, 32 B hash of the frame before,
              MessagePack array of records

Integers are little-endian. A frame's hash is SHA-256 over a byte 1, its sequence, the hash before and the leaf of each
record; a record's leaf is SHA-256 over a byte 0 and its MessagePack bytes. So one record of a frame can be shown to
somebody, with proof, without showing them the others.
"""

from __future__ import annotations

import re
import struct
import zlib
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from slipway.errors import JournalDamaged, NewerFormat

FORMAT = 1
MAGIC = b"SLIPWAYJ"
HEADER = struct.Struct("<8sHHIQ32s32s")
HEADER_SIZE = HEADER.size + 4
FRAME = struct.Struct("<IIQ32s")
GENESIS = bytes(32)  # stands for the frame before the first
MAX_FRAME = 2**30
MAX_NAME = 32
CHECKPOINTS = "checkpoints"  # the writer whose events sign the heads of all others

_BOUND = struct.Struct("<Q32s")
_split = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class SegmentHeader(NamedTuple):
    """The first bytes of a segment."""

    writer: str
    number: int
    first_sequence: int
    previous: bytes  # 32 bytes


class Frame(NamedTuple):
    """A whole frame and where it stands."""

    offset: int
    end: int
    sequence: int
    previous: bytes
    records: bytes  # MessagePack array

    def hash(self) -> bytes:
        """What the next frame names as the one before it. Raises msgspec.MsgspecError."""
        return frame_hash(self.sequence, self.previous, [bytes(record) for record in _split(self.records)])


def encode_header(header: SegmentHeader) -> bytes:
    """The bytes of a segment's header. Raises ValueError for a writer's name that does not fit."""
    name = header.writer.encode()
    if not 0 < len(name) <= MAX_NAME or b"/" in name or b"\0" in name:
        raise ValueError(f"{header.writer!r} cannot name a journal writer: 1 to {MAX_NAME} bytes without a slash")
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
    return SegmentHeader(name[:length].decode("utf-8", "replace"), number, sequence, previous)


def encode_frame(sequence: int, previous: bytes, records: list[bytes]) -> tuple[bytes, bytes]:
    """A frame of encoded records, and its hash."""
    body = _BOUND.pack(sequence, previous) + _array_head(len(records)) + b"".join(records)
    head = len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little")
    return head + body, frame_hash(sequence, previous, records)


def frame_hash(sequence: int, previous: bytes, records: list[bytes]) -> bytes:
    """The hash of a frame; see the top of this module."""
    leaves = [sha256(b"\0" + record).digest() for record in records]
    return sha256(b"\1" + _BOUND.pack(sequence, previous) + b"".join(leaves)).digest()


def frame_at(data: bytes | memoryview, offset: int, base: int = 0) -> Frame | None:
    """The frame at `offset` of `data`, which begins at byte `base` of its file; None where none whole stands there."""
    if offset + FRAME.size > len(data):
        return None
    length, crc, sequence, previous = FRAME.unpack_from(data, offset)
    end = offset + 8 + length
    if length <= _BOUND.size or length > MAX_FRAME or end > len(data) or zlib.crc32(data[offset + 8 : end]) != crc:
        return None
    return Frame(base + offset, base + end, sequence, previous, bytes(data[offset + FRAME.size : end]))


def frame_behind(data: bytes, sequence: int) -> Frame | None:
    """The first whole frame anywhere in `data` with a sequence above `sequence`: what damage hides but leaves whole."""
    # All that is cheap to know of a frame's first 16 bytes: a length, and the upper half of a sequence.
    upper = re.escape((sequence + 1).to_bytes(8, "little")[4:])
    for match in re.finditer(rb"(?=(?!\0{4})[\s\S]{3}[\0-\x40][\s\S]{8}" + upper + rb")", data):
        frame = frame_at(data, match.start())
        if frame is not None and frame.sequence > sequence:
            return frame
    return None


def segment_path(directory: Path, number: int) -> Path:
    """Where a writer's segment lies."""
    return directory / f"{number:08d}.journal"


def payload_path(segment: Path) -> Path:
    """The sibling with the payloads of a segment's calls."""
    return segment.with_suffix(".payloads")


def segments(directory: Path) -> list[Path]:
    """A writer's segments, oldest first."""
    return sorted(directory.glob("[0-9]*.journal"))


def writers(directory: Path) -> list[str]:
    """Names of the writers that have a journal below `directory`."""
    if not directory.is_dir():
        return []
    return sorted(entry.name for entry in directory.iterdir() if entry.is_dir() and segments(entry))


def _array_head(count: int) -> bytes:
    """MessagePack's head of an array in its shortest form, which is the one that readers can produce again."""
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 65536 else b"\xdd" + count.to_bytes(4, "big")
