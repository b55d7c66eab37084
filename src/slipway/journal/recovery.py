"""What a writer finds when it opens its journal: where to go on, what was torn, which calls were left open."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from slipway.journal.format import (
    GENESIS,
    HEADER_SIZE,
    JournalDamaged,
    decode_header,
    frame_at,
    is_end,
    segments,
)
from slipway.journal.records import CallRecord, EventRecord, Record, decode_records
from slipway.journal.segment import cut_tail

OPEN_CALLS = "journal.open-calls"  # the event that carries open starts over to the next segment


class Recovered(NamedTuple):
    """The state in which the last process left a writer's journal."""

    segment: Path | None
    number: int
    offset: int
    sequence: int  # of the last frame; 0 for none
    head: bytes  # its hash
    bytes_cut: int
    open_calls: dict[bytes, CallRecord]


def recover(directory: Path, size: int) -> Recovered:
    """Walk the last segment and cut its torn tail. Raises NewerFormat, or JournalDamaged where it is not torn but
    changed: then nothing is touched."""
    for leftover in directory.glob("*.new"):
        leftover.unlink()
    found = segments(directory)
    if not found:
        return Recovered(None, 0, HEADER_SIZE, 0, GENESIS, 0, {})
    path = found[-1]
    data = path.read_bytes()
    header = decode_header(data, path)
    offset, sequence, head = HEADER_SIZE, header.first_sequence - 1, header.previous
    open_calls: dict[bytes, CallRecord] = {}
    while (frame := frame_at(data, offset)) is not None:
        if frame.sequence != sequence + 1 or frame.previous != head:
            raise JournalDamaged(f"{path}: frame {frame.sequence} at byte {offset} does not follow frame {sequence}")
        offset, sequence, head = frame.end, frame.sequence, frame.hash
        for record in decode_records(frame.payload):
            _track(open_calls, record)
    if not is_end(data, offset):
        _refuse_damage(path, data, offset, sequence)
    return Recovered(path, header.number, offset, sequence, head, cut_tail(path, offset, size), open_calls)


def _track(open_calls: dict[bytes, CallRecord], record: Record) -> None:
    if isinstance(record, EventRecord):
        if record.verb == OPEN_CALLS:
            for text, algorithm in record.detail.items():
                identity = bytes.fromhex(text)
                open_calls[identity] = CallRecord(
                    time=record.time, call_id=identity, root_id=identity, algorithm=algorithm
                )
    elif record.phase == "start":
        open_calls[record.call_id] = record
    else:
        open_calls.pop(record.call_id, None)


def _refuse_damage(path: Path, data: bytes, offset: int, sequence: int) -> None:
    """A torn write is the last thing in a journal: a whole frame behind it means that something else happened."""
    after = offset + 8 + int.from_bytes(data[offset : offset + 4], "little")
    following = frame_at(data, after)
    if following is not None and following.sequence > sequence:
        raise JournalDamaged(
            f"{path}: frame {sequence + 1} at byte {offset} is damaged, but frame {following.sequence} stands behind it"
        )
