"""Reads journals with the platform up or down: all writers in time order, from a cursor, with payloads."""

from __future__ import annotations

import heapq
import itertools
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from slipway.journal.format import (
    HEADER_SIZE,
    MAX_FRAME,
    FrameAt,
    decode_header,
    frame_at,
    payload_path,
    segments,
)
from slipway.journal.records import CallRecord, Entry, Payload, decode_records, unknown_fields

_PIECE_BYTES = 2**20

_decode_payloads = msgspec.msgpack.Decoder(list[Payload]).decode


class Cursor(msgspec.Struct, frozen=True):
    """How far a reader has come in one writer's journal."""

    segment: int = 0  # 0: nothing read yet
    offset: int = 0
    sequence: int = 0


def writers(directory: Path) -> list[str]:
    """Names of the writers that have a journal below `directory`."""
    if not directory.is_dir():
        return []
    return sorted(entry.name for entry in directory.iterdir() if entry.is_dir() and segments(entry))


def read_from(
    directory: Path, writer: str, cursor: Cursor, limit: int = 1000, unknown: bool = False
) -> tuple[list[Entry], Cursor]:
    """The entries of up to `limit` frames behind `cursor`, and where these end.

    A frame that is being written at this moment is left for the next time. Fields of later versions are only looked
    for when `unknown`.
    """
    entries: list[Entry] = []
    left = limit
    for path in segments(directory / writer):
        number = int(path.stem)
        if number < cursor.segment or not left:
            continue
        offset = cursor.offset if number == cursor.segment else HEADER_SIZE
        for frame in itertools.islice(_frames(path, offset), left):
            entries += _entries(writer, frame.sequence, frame.payload, unknown)
            cursor = Cursor(number, frame.end, frame.sequence)
            left -= 1
    return entries, cursor


def read_all(directory: Path, since: float = 0.0) -> Iterator[Entry]:
    """Every entry of every writer from `since` (Unix seconds) on, in time order."""
    streams = [_stream(directory, writer, since) for writer in writers(directory)]
    return heapq.merge(*streams, key=lambda entry: entry.record.time)


def follow(directory: Path, since: float, pause_seconds: float = 0.1) -> Iterator[list[Entry]]:
    """As `read_all` in batches, then for ever what is added; an empty batch after each pause without anything new."""
    cursors: dict[str, Cursor] = {}
    while True:
        fresh: list[Entry] = []
        for writer in writers(directory):
            before = cursors.get(writer, Cursor())
            entries, cursors[writer] = read_from(directory, writer, before, unknown=True)
            fresh += [entry for entry in entries if entry.record.time >= since]
        yield sorted(fresh, key=lambda entry: entry.record.time)
        if not fresh:
            time.sleep(pause_seconds)


def payloads(directory: Path, writer: str, since: float = 0.0) -> Iterator[Payload]:
    """The payloads of one writer's calls, in the order of their records; erased segments are passed over."""
    for path in segments(directory / writer):
        sibling = payload_path(path)
        if not sibling.exists() or sibling.stat().st_mtime < since:
            continue
        data = sibling.read_bytes()
        offset = 0
        while offset + 8 < len(data):
            end = offset + 8 + int.from_bytes(data[offset : offset + 4], "little")
            body = data[offset + 8 : end]
            if end > len(data) or zlib.crc32(body) != int.from_bytes(data[offset + 4 : offset + 8], "little"):
                break
            yield from _decode_payloads(body)
            offset = end


class Payloads:
    """Finds payloads of entries that are asked for in the order of their journal."""

    def __init__(self, directory: Path, since: float = 0.0) -> None:
        self._directory, self._since = directory, since
        self._streams: dict[str, Iterator[Payload]] = {}
        self._ahead: dict[bytes, Payload] = {}

    def find(self, entry: Entry) -> Payload | None:
        """The payload of a call's entry; None where none was kept."""
        record = entry.record
        if not isinstance(record, CallRecord) or not (record.input_digest or record.result_digest):
            return None
        found = self._ahead.pop(record.call_id, None)
        if found is not None:
            return found
        stream = self._streams.get(entry.writer)
        if stream is None:
            stream = self._streams[entry.writer] = payloads(self._directory, entry.writer, self._since)
        for payload in stream:
            if payload.call_id == record.call_id:
                return payload
            self._ahead[payload.call_id] = payload
        # Read anew the next time: the journal may have grown since this stream ended.
        del self._streams[entry.writer]
        return None


def _stream(directory: Path, writer: str, since: float) -> Iterator[Entry]:
    for path in segments(directory / writer):
        # A segment's last write is no older than its last record.
        if path.stat().st_mtime < since:
            continue
        for frame in _frames(path, HEADER_SIZE):
            for entry in _entries(writer, frame.sequence, frame.payload, unknown=True):
                if entry.record.time >= since:
                    yield entry


def _frames(path: Path, offset: int) -> Iterator[FrameAt]:
    """Whole frames from `offset` on, with their places in the file; read piece by piece, never the zeros behind."""
    with path.open("rb") as file:
        decode_header(file.read(HEADER_SIZE), path)
        size = _PIECE_BYTES
        while True:
            file.seek(offset)
            piece = file.read(size)
            position = 0
            while (frame := frame_at(piece, position)) is not None:
                position = frame.end
                yield frame._replace(offset=offset + frame.offset, end=offset + frame.end)
            if position == 0:
                # Nothing whole: the end, or a frame longer than the piece.
                wanted = 8 + int.from_bytes(piece[:4], "little")
                if len(piece) < size or wanted <= size or wanted > MAX_FRAME:
                    return
                size = wanted
            offset += position


def _entries(writer: str, sequence: int, payload: bytes, unknown: bool) -> list[Entry]:
    records = decode_records(payload)
    carried: list[dict[str, Any]] = unknown_fields(payload) if unknown else [{}] * len(records)
    return [
        Entry(writer=writer, sequence=sequence, record=record, unknown=extra)
        for record, extra in zip(records, carried, strict=True)
    ]
