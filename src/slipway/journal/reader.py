"""Reads journals with the platform up or down: all writers in time order, from a cursor, with payloads."""

from __future__ import annotations

import heapq
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from slipway.journal.format import HEADER_SIZE, decode_header, frame_at, payload_path, segments
from slipway.journal.records import CallRecord, Entry, Payload, decode_records, unknown_fields

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


def read_from(directory: Path, writer: str, cursor: Cursor, limit: int = 1000) -> tuple[list[Entry], Cursor]:
    """The entries of up to `limit` frames behind `cursor`, and where these end.

    A frame that is being written at this moment is left for the next time.
    """
    entries: list[Entry] = []
    frames = 0
    for path in segments(directory / writer):
        number = int(path.stem)
        if number < cursor.segment:
            continue
        offset = cursor.offset if number == cursor.segment else HEADER_SIZE
        with path.open("rb") as file:
            decode_header(file.read(HEADER_SIZE), path)
            file.seek(offset)
            data = file.read()
        position = 0
        while frames < limit and (frame := frame_at(data, position)) is not None:
            entries += _entries(writer, frame.sequence, frame.payload)
            position, frames = frame.end, frames + 1
            cursor = Cursor(number, offset + position, frame.sequence)
        if frames >= limit:
            break
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
            entries, cursors[writer] = read_from(directory, writer, cursors.get(writer, Cursor()))
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
        data = path.read_bytes()
        decode_header(data, path)
        offset = HEADER_SIZE
        while (frame := frame_at(data, offset)) is not None:
            offset = frame.end
            for entry in _entries(writer, frame.sequence, frame.payload):
                if entry.record.time >= since:
                    yield entry


def _entries(writer: str, sequence: int, payload: bytes) -> list[Entry]:
    records = decode_records(payload)
    return [
        Entry(writer=writer, sequence=sequence, record=record, unknown=unknown)
        for record, unknown in zip(records, unknown_fields(payload), strict=True)
    ]
