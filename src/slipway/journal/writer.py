"""The journal's writer: a thread that appends what waits, syncs once for all of it, then lets the replies go."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

from slipway.errors import DataDirectoryInUse
from slipway.ids import new_id_bytes
from slipway.journal.format import SegmentHeader, encode_frame
from slipway.journal.records import CallRecord, EventRecord, Payload, Record, encode_records
from slipway.journal.recovery import OPEN_CALLS, recover
from slipway.journal.segment import OpenSegment

PayloadPolicy = Literal["none", "digest", "sample", "full"]
Done = Callable[[], None]

_PAYLOAD_SYNC_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_PROBE_BYTES = 2**20
_MOST_RECORDS = 4096  # in one frame

logger = logging.getLogger(__name__)


class _Item(NamedTuple):
    record: Record
    payload: Payload | None
    durable: Done
    failed: Done


class JournalWriter:
    """Appends records to one writer's series of segments. One process may hold a writer's name at a time.

    Opening cuts a torn tail and closes what was left open. Raises DataDirectoryInUse, NewerFormat, JournalDamaged,
    OSError.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        segment_bytes: int = 64 * 2**20,
        payload_policy: PayloadPolicy = "full",
        payload_limit_bytes: int = 4096,
        payload_sample_rate: float = 0.01,
    ) -> None:
        self.healthy = True
        self._directory, self._name, self._segment_bytes = directory, name, segment_bytes
        self._policy, self._limit, self._rate = payload_policy, payload_limit_bytes, payload_sample_rate
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(directory)
        found = recover(directory, segment_bytes)
        self._sequence, self._head, self._number = found.sequence, found.head, found.number
        self._open_calls: dict[bytes, str] = {}  # id → algorithm
        if found.segment is not None and found.offset < segment_bytes:
            self._segment = OpenSegment(found.segment, found.offset, segment_bytes)
        else:
            self._segment = self._next_segment()
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"journal-{name}", daemon=True)
        self._payloads_synced = time.monotonic()
        self._report_recovery(found.bytes_cut, found.open_calls)

    @property
    def head(self) -> tuple[int, bytes]:
        """Sequence and hash of the last durable frame."""
        return self._sequence, self._head

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin writing; callbacks run on `loop`."""
        self._loop = loop
        self._thread.start()

    def append(self, record: Record, payload: Payload | None, durable: Done, failed: Done) -> None:
        """Queue a record. `durable` runs on the loop once it is on disk, `failed` if it cannot be written."""
        self._queue.put(_Item(record, payload, durable, failed))

    def event(self, actor: str, verb: str, resource: str, outcome: str = "done", **detail: str) -> None:
        """Record an event that nobody waits for."""
        record = EventRecord(
            time=time.time(),
            event_id=new_id_bytes(),
            actor=actor,
            verb=verb,
            resource=resource,
            outcome=outcome,
            detail=detail,
        )
        self.append(record, None, _nothing, _nothing)

    def close(self) -> None:
        """Write what waits, and let go of the files."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._segment.close()
        os.close(self._lock)

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        going = True
        while going:
            batch = self._collect()
            if batch and batch[-1] is None:
                going = False
                batch.pop()
            items = [item for item in batch if item is not None]
            if items:
                self._handle(items)
            elif not self.healthy:
                self._probe()
            self._sync_payloads()

    def _collect(self) -> list[_Item | None]:
        """Wait for one item, then take all that are there."""
        batch: list[_Item | None] = []
        try:
            batch.append(self._queue.get(timeout=_RETRY_SECONDS))
            while batch[-1] is not None and len(batch) < _MOST_RECORDS:
                batch.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _handle(self, items: list[_Item]) -> None:
        if not self.healthy:
            self._release([item.failed for item in items])
            return
        try:
            self._write([item.record for item in items], self._payloads(items))
        except OSError as error:
            logger.error("journal %s cannot be written: %s", self._name, error)
            self.healthy = False
            self._release([item.failed for item in items])
        else:
            self._release([item.durable for item in items])

    def _release(self, callbacks: list[Done]) -> None:
        try:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(_call_all, callbacks)
        except RuntimeError:
            # The loop is closed: nobody is left to be told.
            return

    def _write(self, records: list[Record], payloads: list[Payload]) -> None:
        frame, digest = encode_frame(self._sequence + 1, self._head, encode_records(records))
        if not self._segment.fits(len(frame)):
            self._roll()
            frame, digest = encode_frame(self._sequence + 1, self._head, encode_records(records))
        self._segment.append(frame, encode_records(payloads) if payloads else b"")
        self._sequence += 1
        self._head = digest
        for record in records:
            if isinstance(record, CallRecord) and record.phase != "call":
                self._track(record)

    def _track(self, record: CallRecord) -> None:
        if record.phase == "start":
            self._open_calls[record.call_id] = record.algorithm
        else:
            self._open_calls.pop(record.call_id, None)

    def _roll(self) -> None:
        """Go on in a new segment, which lists the calls that are open: recovery then needs to read only that one."""
        following = self._next_segment()
        self._segment.close()
        self._segment = following
        if self._open_calls:
            detail = {identity.hex(): algorithm for identity, algorithm in self._open_calls.items()}
            self._write([_event(OPEN_CALLS, self._name, "carried over", detail)], [])

    def _next_segment(self) -> OpenSegment:
        header = SegmentHeader(self._name, self._number + 1, self._sequence + 1, self._head)
        segment = OpenSegment.create(self._directory, header, self._segment_bytes)
        self._number += 1
        return segment

    def _payloads(self, items: list[_Item]) -> list[Payload]:
        """Salt and digest each call's input and result, and keep what the policy says."""
        kept: list[Payload] = []
        if self._policy == "none":
            return kept
        salts = os.urandom(16 * len(items))
        for position, item in enumerate(items):
            payload, record = item.payload, item.record
            if payload is None or not isinstance(record, CallRecord):
                continue
            salt = payload.salt = salts[16 * position : 16 * position + 16]
            whole = self._policy == "full" or (self._policy == "sample" and random.random() < self._rate)  # noqa: S311
            if payload.input is not None:
                record.input_digest = sha256(salt + payload.input).digest()
                if not whole or len(payload.input) > self._limit:
                    payload.input = None
            if payload.result is not None:
                record.result_digest = sha256(salt + payload.result).digest()
                if not whole or len(payload.result) > self._limit:
                    payload.result = None
            kept.append(payload)
        return kept

    def _sync_payloads(self) -> None:
        now = time.monotonic()
        if now - self._payloads_synced >= _PAYLOAD_SYNC_SECONDS:
            self._payloads_synced = now
            try:
                self._segment.sync_payloads()
            except OSError as error:
                logger.error("payloads of journal %s cannot be synced: %s", self._name, error)

    def _probe(self) -> None:
        """Whether the disk takes data again."""
        path = self._directory / "probe.new"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _PROBE_BYTES)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
                path.unlink()
        except OSError:
            return
        logger.warning("journal %s can be written again", self._name)
        self.healthy = True

    # --- recovery ---------------------------------------------------------------------------------------------------

    def _report_recovery(self, bytes_cut: int, open_calls: dict[bytes, CallRecord]) -> None:
        records: list[Record] = []
        if bytes_cut:
            detail = {"bytes": str(bytes_cut), "segment": self._segment.path.name}
            records.append(_event("journal.recover", self._name, "torn tail cut", detail))
            logger.warning("journal %s: a torn tail of %d bytes was cut", self._name, bytes_cut)
        for record in open_calls.values():
            record.phase, record.status, record.error_type, record.time = "end", 500, "Interrupted", time.time()
            records.append(record)
        if records:
            self._write(records, [])


def _event(verb: str, name: str, outcome: str, detail: dict[str, str]) -> EventRecord:
    return EventRecord(
        time=time.time(),
        event_id=new_id_bytes(),
        actor=name,
        verb=verb,
        resource=f"journal/{name}",
        outcome=outcome,
        detail=detail,
    )


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DataDirectoryInUse(f"another process writes the journal in {directory}") from error
    return descriptor


def _call_all(callbacks: list[Done]) -> None:
    for callback in callbacks:
        callback()


def _nothing() -> None:
    pass
