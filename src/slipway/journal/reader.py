"""Reads journals with the platform up or down: all writers in time order, from a cursor, filtered."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import mmap
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from slipway.errors import JournalDamaged
from slipway.journal.format import CHECKPOINTS, HEADER_SIZE, Frame, segments
from slipway.journal.format import writers as writers
from slipway.journal.records import CallRecord, Entry, decode_records
from slipway.journal.scan import SegmentScan

logger = logging.getLogger(__name__)

_FRAMES = 1000  # read at a time
_ENTRIES = 20_000  # after which no further frame is read at once
_BATCH = 500  # entries
_SLACK_SECONDS = 3600.0
_BRIEF_SLACK_SECONDS = 60.0


class Cursor(msgspec.Struct, frozen=True):
    """How far a reader has come in one writer's journal. It may be saved, and used again at any later time."""

    segment: int = 0  # 0: nothing read yet
    offset: int = HEADER_SIZE
    sequence: int = 0  # of the last frame read


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What of the journal is asked for."""

    since: float = 0.0  # Unix seconds
    caller: str = ""  # account: of the call, of its root, or an event's actor
    algorithm: str = ""  # owner/name, or a name of any owner; an event's resource

    def passes(self, entry: Entry) -> bool:
        """Whether the entry is asked for."""
        record = entry.record
        if record.time < self.since:
            return False
        call = isinstance(record, CallRecord)
        who = {record.caller, record.origin} if isinstance(record, CallRecord) else {record.actor}
        what = record.algorithm if isinstance(record, CallRecord) else record.resource
        if self.caller and self.caller not in who:
            return False
        return self.algorithm in ("", what) or (call and self.algorithm == what.partition("/")[2])


def read_from(directory: Path, writer: str, cursor: Cursor, limit: int = _FRAMES) -> tuple[list[Entry], Cursor]:
    """The entries of up to `limit` frames behind `cursor`, and where these end.

    A frame that is being written at this moment is left for the next time. Segments that are gone are passed over;
    damage is passed over with a warning, for `verify` to judge.
    """
    entries: list[Entry] = []
    frames = 0
    found = segments(directory / writer)
    for position, path in enumerate(found):
        if int(path.stem) < cursor.segment:
            continue
        start = cursor.offset if int(path.stem) == cursor.segment else HEADER_SIZE
        scan = _scan(path, start)
        if scan is None:
            continue
        for frame in scan:
            entries += _entries(writer, frame, path)
            frames, cursor = frames + 1, Cursor(int(path.stem), frame.end, frame.sequence)
            if frames == limit or len(entries) >= _ENTRIES:
                return entries, cursor
        if position + 1 < len(found) and scan.tail():
            logger.warning("%s is damaged at byte %d; slipway audit verify says more", path, scan.offset)
    return entries, cursor


def read_all(directory: Path, since: float = 0.0, *, caller: str = "", algorithm: str = "") -> Iterator[Entry]:
    """Every entry that is asked for, of every writer but checkpoints, in time order."""
    wanted = AuditFilter(since=since, caller=caller, algorithm=algorithm)
    return filter(wanted.passes, _merged(directory, _starts(directory, since)))


def read_writer(directory: Path, writer: str, since: float = 0.0) -> Iterator[Entry]:
    """One writer's entries from that time on, in the order in which it wrote them."""
    stream = _stream(directory, writer, _starts(directory, since, _BRIEF_SLACK_SECONDS))
    return (entry for entry in stream if entry.record.time >= since)


def follow(
    directory: Path, since: float = 0.0, *, caller: str = "", algorithm: str = "", pause_seconds: float = 0.1
) -> Iterator[list[Entry]]:
    """What `read_all` gives, in batches, then for ever what is added; an empty batch after each pause."""
    wanted = AuditFilter(since=since, caller=caller, algorithm=algorithm)
    cursors = _starts(directory, since)
    while True:
        fresh = filter(wanted.passes, _merged(directory, cursors))
        while batch := list(itertools.islice(fresh, _BATCH)):
            yield batch
        yield []
        time.sleep(pause_seconds)


def find_call(directory: Path, call_id: bytes) -> list[Entry]:
    """The records of one call in any writer's journal below `directory`: one, or a start and an end."""
    found: list[Entry] = []
    for path in sorted(directory.glob("*/[0-9]*.journal")):
        scan = _scan(path, HEADER_SIZE) if _holds(path, call_id) else None
        for frame in scan or ():
            if call_id in frame.records:
                found += [entry for entry in _entries(path.parent.name, frame, path) if _is_call(entry, call_id)]
    return found


def _merged(directory: Path, cursors: dict[str, Cursor]) -> Iterator[Entry]:
    """Moves `cursors` on to the end of what was there."""
    streams = [_stream(directory, writer, cursors) for writer in writers(directory) if writer != CHECKPOINTS]
    return heapq.merge(*streams, key=lambda entry: entry.record.time)


def _stream(directory: Path, writer: str, cursors: dict[str, Cursor]) -> Iterator[Entry]:
    cursor = cursors.get(writer, Cursor())
    while True:
        entries, after = read_from(directory, writer, cursor)
        cursors[writer] = after
        yield from entries
        if after == cursor:
            return
        cursor = after


def _starts(directory: Path, since: float, slack: float = _SLACK_SECONDS) -> dict[str, Cursor]:
    """Cursors behind the closed segments that end before `since`: their last write is no older than their last record.

    (Give or take what a loss of power does to the time of a file's last change.)
    """
    starts: dict[str, Cursor] = {}
    for writer in writers(directory):
        for path in segments(directory / writer)[:-1]:
            if path.stat().st_mtime + slack >= since:
                break
            starts[writer] = Cursor(int(path.stem) + 1)
    return starts


def _scan(path: Path, offset: int) -> SegmentScan | None:
    try:
        return SegmentScan(path, offset)
    except FileNotFoundError:
        return None
    except JournalDamaged as error:
        logger.warning("%s", error)
        return None


def _entries(writer: str, frame: Frame, path: Path) -> list[Entry]:
    try:
        records = decode_records(frame.records)
    except msgspec.MsgspecError as error:
        logger.warning("%s: frame %d cannot be read: %s", path, frame.sequence, error)
        return []
    return [
        Entry(writer=writer, sequence=frame.sequence, record=record, unknown=unknown) for record, unknown in records
    ]


def _is_call(entry: Entry, call_id: bytes) -> bool:
    return isinstance(entry.record, CallRecord) and entry.record.call_id == call_id


def _holds(path: Path, call_id: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError, ValueError), path.open("rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return view.find(call_id) >= 0
    return False
