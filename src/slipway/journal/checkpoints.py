"""Signed checkpoints: one Ed25519 signature binds the heads of all writers, every second in which one moved.

They are events in a series of their own, `checkpoints`. The public key is all that a third party needs to check them,
and a copy of one that is kept elsewhere proves everything that came before it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from slipway.errors import SlipwayError
from slipway.journal.format import CHECKPOINTS as CHECKPOINTS
from slipway.journal.format import HEADER_SIZE, Frame, segments, writers
from slipway.journal.reader import Cursor, read_from
from slipway.journal.records import Entry, EventRecord, new_event
from slipway.journal.scan import SegmentScan
from slipway.journal.signing import Heads, LedgerKey
from slipway.journal.writer import JournalWriter

VERB = "ledger.checkpoint"

logger = logging.getLogger(__name__)


class Checkpointer:
    """Follows the heads of all writers and signs them."""

    def __init__(self, directory: Path, key_file: Path) -> None:
        self._directory = directory
        self._key = LedgerKey(key_file)
        self._heads: Heads = {}
        self._tails: dict[str, _Tail] = {}

    async def run(self, journal: JournalWriter, seconds: float = 1.0) -> None:
        """Write a checkpoint whenever a head has moved, for ever."""
        while True:
            try:
                event = await asyncio.to_thread(self.step)
            except (OSError, SlipwayError, msgspec.MsgspecError) as error:
                # Signing goes on once the cause is gone; until then `verify` shows how far it came.
                logger.error("no checkpoint: %s", error)
                event = None
            if event is not None:
                journal.append(event, None, _nothing, self._forget)
            await asyncio.sleep(seconds)

    def step(self) -> EventRecord | None:
        """A checkpoint, if a head has moved since the last."""
        heads = self._read_heads()
        if heads == self._heads:
            return None
        self._heads = heads
        return new_event("control", VERB, "heads", "done", self._key.sign(heads, time.time()))

    def _read_heads(self) -> Heads:
        heads: Heads = {}
        for writer in writers(self._directory):
            if writer == CHECKPOINTS:
                continue
            tail = self._tails.setdefault(writer, _Tail(self._directory / writer))
            head = tail.head()
            if head is not None:
                heads[writer] = head
        return heads

    def _forget(self) -> None:
        """What could not be written is to be signed again."""
        self._heads = {}


class _Tail:
    """Follows one writer's last frame."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segment: Path | None = None
        self._offset = HEADER_SIZE
        self._head: tuple[int, bytes] | None = None

    def head(self) -> tuple[int, bytes] | None:
        """Sequence and hash of the last whole frame, which is on disk; None before the first."""
        for path in segments(self._directory)[-1:] if self._segment is None else self._from_here():
            if path != self._segment:
                self._segment, self._offset = path, HEADER_SIZE
            self._walk(path)
        return self._head

    def _from_here(self) -> list[Path]:
        assert self._segment is not None
        return [path for path in segments(self._directory) if path.name >= self._segment.name]

    def _walk(self, path: Path) -> None:
        scan = SegmentScan(path, self._offset)
        last: Frame | None = None
        for frame in scan:
            last = frame
        if last is None:
            before = scan.header.first_sequence - 1
            if self._head is None and before:
                self._head = (before, scan.header.previous)
            return
        # The frame may be read before its writer has synced it; what is signed must survive a loss of power.
        _sync(path)
        if next(iter(SegmentScan(path, last.offset)), None) == last:
            self._head, self._offset = (last.sequence, last.hash()), last.end


def checkpoint_events(directory: Path) -> Iterator[tuple[Entry, EventRecord]]:
    """Every checkpoint below `directory`, oldest first, unchecked."""
    cursor = Cursor()
    while True:
        entries, after = read_from(directory, CHECKPOINTS, cursor)
        for entry in entries:
            if isinstance(entry.record, EventRecord) and entry.record.verb == VERB:
                yield entry, entry.record
        if after == cursor:
            return
        cursor = after


def as_text(record: EventRecord) -> str:
    """A checkpoint as one line of JSON, to be kept elsewhere."""
    return msgspec.json.encode(record.detail).decode()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _nothing() -> None:
    pass
