"""Checks every chain: each frame whole, in sequence, bound to the one before; each checkpoint signed and kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from slipway.errors import JournalDamaged
from slipway.journal.checkpoints import checkpoint_events
from slipway.journal.format import CHECKPOINTS, GENESIS, Frame, SegmentHeader, segments, writers
from slipway.journal.payloads import PayloadFrame, matches, payload_frames
from slipway.journal.pruning import pruned
from slipway.journal.records import CallRecord, decode_records
from slipway.journal.scan import SegmentScan
from slipway.journal.signing import is_signed, load_public_key, read_checkpoint

_LOOKS = 10  # at a frame that may be in the middle of being written
_PAUSE_SECONDS = 0.03


class ChainReport(msgspec.Struct, kw_only=True):
    """What was found in one writer's journal."""

    writer: str
    frames: int = 0
    records: int = 0
    payloads: int = 0  # that were there and agree with their records' digests
    sequence: int = 0  # of the last frame
    head: str = ""  # its hash in hex
    signed: int = 0  # the last frame that a checkpoint binds
    pruned: int = 0  # the last frame that was dropped by policy, as an event in the ledger says
    problems: list[str] = []


def verify(directory: Path, public_key: Path) -> list[ChainReport]:
    """One report a writer, checkpoints included; nothing is changed. Raises NewerFormat.

    `public_key` is needed only where there are checkpoints. The platform may be running.
    """
    names = writers(directory)
    problems, key = _load_key(public_key) if CHECKPOINTS in names else ([], None)
    signed, until = set[str](), 0
    for entry, event in checkpoint_events(directory):
        signed, until = signed | set(_heads(event.detail)), entry.sequence
    reports, dropped = [], pruned(directory)
    for writer in sorted({*names, *signed}):
        chain = _Chain(writer, _signed_heads(directory, writer, until), dropped.get(writer))
        found = segments(directory / writer)
        for path in found:
            chain.segment(path, path == found[-1])
        chain.finish()
        if writer == CHECKPOINTS:
            chain.report.problems += problems + _bad_signatures(directory, key)
        reports.append(chain.report)
    return reports


class _Chain:
    """Walks one writer's segments beside the heads that checkpoints have signed."""

    def __init__(
        self, writer: str, signed: Iterator[tuple[int, bytes]], dropped: tuple[int, bytes] | None = None
    ) -> None:
        self.report = ChainReport(writer=writer, problems=[])
        self._sequence, self._head = 0, GENESIS
        self._dropped = dropped  # up to which frame the oldest may be missing, and that frame's hash
        self._signed = signed
        self._next_signed = next(signed, None)

    def segment(self, path: Path, last: bool) -> None:
        try:
            scan = SegmentScan(path)
        except JournalDamaged as error:
            self._problem(str(error))
            return
        header = scan.header
        if (header.writer, header.number) != (self.report.writer, int(path.stem)):
            self._problem(f"{path.name}: is segment {header.number} of {header.writer}")
        if self._may_begin(header):
            self.report.pruned = header.first_sequence - 1
            self._sequence, self._head = self.report.pruned, header.previous
            self._agree()
        elif header.first_sequence != self._sequence + 1 or header.previous != self._head:
            self._problem(f"{path.name}: does not follow frame {self._sequence}: a segment is missing or was changed")
            self._sequence, self._head = header.first_sequence - 1, header.previous
        payloads = _PayloadsBeside(path)
        for frame in scan:
            self._frame(path, frame, payloads)
        self._behind(path, scan, last, payloads)

    def _may_begin(self, header: SegmentHeader) -> bool:
        """Whether what is missing before the first segment was dropped with leave."""
        first = self.report.frames == 0 and self._sequence == 0 and header.first_sequence > 1
        return first and self._dropped is not None and header.first_sequence - 1 <= self._dropped[0]

    def _agree(self) -> None:
        """The frame up to which the oldest were dropped is the one that the event names."""
        if self._dropped is not None and self._sequence == self._dropped[0] and self._head != self._dropped[1]:
            self._problem(f"frame {self._sequence} is not the one up to which older ones were dropped")

    def finish(self) -> None:
        """Heads that were signed and never came: the chain was cut shorter."""
        while self._next_signed is not None:
            self._missing(self._next_signed[0])
            self._next_signed = next(self._signed, None)
        self.report.sequence, self.report.head = self._sequence, self._head.hex() if self.report.frames else ""

    def _frame(self, path: Path, frame: Frame, payloads: _PayloadsBeside) -> None:
        if frame.sequence != self._sequence + 1 or frame.previous != self._head:
            self._problem(f"{path.name} byte {frame.offset}: frame does not follow frame {self._sequence}")
        try:
            self._sequence, self._head = frame.sequence, frame.hash()
            records = [record for record, _ in decode_records(frame.records)]
        except msgspec.MsgspecError as error:
            self._problem(f"{path.name} byte {frame.offset}: records cannot be read: {error}")
            return
        self._agree()
        self.report.frames += 1
        self.report.records += len(records)
        self._compare()
        calls = {record.call_id: record for record in records if isinstance(record, CallRecord)}
        good, bad = payloads.check(frame.sequence, calls)
        self.report.payloads += good
        self.report.problems += [f"{path.name} frame {frame.sequence}: the payload of call {text}" for text in bad]

    def _behind(self, path: Path, scan: SegmentScan, last: bool, payloads: _PayloadsBeside) -> None:
        """What stands behind the last whole frame: zeros, a write that goes on, or damage."""
        for _ in range(_LOOKS):
            tail = self._unwritten(path, scan, payloads)
            hidden = scan.hidden(tail, self._sequence)
            if not tail or hidden is not None or not last:
                break
            time.sleep(_PAUSE_SECONDS)
        if tail:
            kind = "damaged" if hidden is not None else "torn or was changed"
            self._problem(f"{path.name} byte {scan.offset}: frame {self._sequence + 1} is {kind}")
        if hidden is not None:
            self._resume(path, scan, hidden, payloads)

    def _unwritten(self, path: Path, scan: SegmentScan, payloads: _PayloadsBeside) -> bytes:
        """The tail behind the last whole frame, once no more of them come."""
        while True:
            # In this order: a whole frame in the tail then has whole frames before it, unless these are damaged.
            tail, before = scan.tail(), scan.offset
            for frame in scan:
                self._frame(path, frame, payloads)
            if scan.offset == before:
                return tail

    def _resume(self, path: Path, scan: SegmentScan, hidden: Frame, payloads: _PayloadsBeside) -> None:
        """Go on behind damage, so that later problems are found too."""
        rest = SegmentScan(path, scan.offset + hidden.offset)
        self._sequence, self._head = hidden.sequence - 1, hidden.previous
        for frame in rest:
            self._frame(path, frame, payloads)
        tail = rest.tail()
        following = rest.hidden(tail, self._sequence)
        if tail:
            self._problem(f"{path.name} byte {rest.offset}: frame {self._sequence + 1} is damaged")
        if following is not None:
            self._resume(path, rest, following, payloads)

    def _compare(self) -> None:
        """What a checkpoint saw must still be there."""
        while self._next_signed is not None and self._next_signed[0] <= self._sequence:
            sequence, digest = self._next_signed
            if sequence > self.report.pruned and (sequence, digest) != (self._sequence, self._head):
                self._missing(sequence)
            self.report.signed = max(self.report.signed, sequence)
            self._next_signed = next(self._signed, None)

    def _missing(self, sequence: int) -> None:
        self._problem(f"frame {sequence} of {self.report.writer} is not what a checkpoint signed")

    def _problem(self, text: str) -> None:
        if text not in self.report.problems[-1:]:
            self.report.problems.append(text)


class _PayloadsBeside:
    """The payload frames of a segment, in step with its records."""

    def __init__(self, path: Path) -> None:
        self._frames = payload_frames(path)
        self._next: PayloadFrame | None = next(self._frames, None)

    def check(self, sequence: int, calls: dict[bytes, CallRecord]) -> tuple[int, list[str]]:
        """How many payloads of that frame agree with their records, and the call ids of those that do not."""
        good, bad = 0, list[str]()
        while self._next is not None and self._next.sequence <= sequence:
            for payload in self._next.payloads if self._next.sequence == sequence else []:
                record = calls.get(payload.call_id)
                if record is not None and matches(record, payload):
                    good += 1
                else:
                    bad.append(f"{payload.call_id.hex()} is not what its record says")
            self._next = next(self._frames, None)
        return good, bad


def _load_key(file: Path) -> tuple[list[str], Ed25519PublicKey | None]:
    try:
        return [], load_public_key(file)
    except (OSError, ValueError) as error:
        return [f"the public key cannot be read: {error}"], None


def _bad_signatures(directory: Path, key: Ed25519PublicKey | None) -> list[str]:
    problems: list[str] = []
    if key is None:
        return problems
    for entry, event in checkpoint_events(directory):
        try:
            good = is_signed(event.detail, read_checkpoint(event.detail), key)
        except ValueError:
            good = False
        if not good:
            problems.append(f"frame {entry.sequence}: the checkpoint's signature is wrong")
    return problems


def _signed_heads(directory: Path, writer: str, until: int) -> Iterator[tuple[int, bytes]]:
    """What checkpoints up to the frame `until` say of one writer, in their order."""
    last = (0, b"")
    for entry, event in checkpoint_events(directory):
        if entry.sequence > until:
            return
        head = _heads(event.detail).get(writer, last)
        if head != last:
            last = head
            yield head


def _heads(detail: dict[str, str]) -> dict[str, tuple[int, bytes]]:
    try:
        return read_checkpoint(detail).heads
    except ValueError:
        return {}
