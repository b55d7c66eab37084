from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import JournalDamaged, NewerFormat
from slipway.journal.format import (
    GENESIS,
    SegmentHeader,
    decode_header,
    encode_frame,
    encode_header,
    frame_at,
    frame_behind,
)
from slipway.journal.records import CallRecord, EventRecord, decode_records, encode_record

_TEXT = st.text(max_size=40)
_BYTES = st.binary(max_size=40)
_COUNTS = st.integers(0, 2**63 - 1)
_CALLS = st.builds(
    CallRecord,
    time=st.floats(allow_nan=False, allow_infinity=False),
    call_id=_BYTES,
    root_id=_BYTES,
    parent_id=_BYTES,
    phase=st.sampled_from(["call", "start", "end"]),
    caller=_TEXT,
    algorithm=_TEXT,
    cold_start=st.booleans(),
    status=_COUNTS,
    duration_us=_COUNTS,
    input_digest=_BYTES,
)
_EVENTS = st.builds(
    EventRecord,
    time=st.floats(allow_nan=False, allow_infinity=False),
    event_id=_BYTES,
    verb=_TEXT,
    resource=_TEXT,
    detail=st.dictionaries(_TEXT, _TEXT, max_size=4),
)
_RECORDS = st.lists(st.one_of(_CALLS, _EVENTS), min_size=1, max_size=40)
_SEQUENCES = st.integers(1, 2**63)
_HASHES = st.binary(min_size=32, max_size=32)


@given(_RECORDS, _SEQUENCES, _HASHES, st.binary(max_size=20))
def test_a_frame_comes_back_as_it_was_wherever_it_stands(
    records: list[Any], sequence: int, previous: bytes, before: bytes
) -> None:
    data, digest = encode_frame(sequence, previous, [encode_record(record) for record in records])

    frame = frame_at(before + data + b"\1" * 9, len(before))

    assert frame is not None
    assert (frame.sequence, frame.previous, frame.hash()) == (sequence, previous, digest)
    assert frame.end == len(before) + len(data)
    assert decode_records(frame.records) == [(record, {}) for record in records]


@given(_RECORDS, st.data())
def test_a_frame_with_any_changed_bit_is_none(records: list[Any], data: st.DataObject) -> None:
    frame = bytearray(encode_frame(7, GENESIS, [encode_record(record) for record in records])[0])
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[bit // 8] ^= 1 << bit % 8

    assert frame_at(bytes(frame) + bytes(64), 0) is None


@given(_RECORDS, st.data())
def test_a_frame_that_is_cut_anywhere_is_none(records: list[Any], data: st.DataObject) -> None:
    frame, _ = encode_frame(7, GENESIS, [encode_record(record) for record in records])

    assert frame_at(frame[: data.draw(st.integers(0, len(frame) - 1))], 0) is None


@given(_RECORDS, st.integers(1, 2**40), st.integers(1, 1000), st.binary(max_size=300))
def test_a_whole_frame_is_found_behind_any_damage(records: list[Any], sequence: int, ahead: int, damage: bytes) -> None:
    data, _ = encode_frame(sequence + ahead, GENESIS, [encode_record(record) for record in records])

    found = frame_behind(damage + data, sequence)

    # The upper half of a sequence is what frames are looked for by: every 4 billion frames, one roll is missed.
    if (sequence + 1) >> 32 == (sequence + ahead) >> 32:
        assert found is not None
        assert found.sequence == sequence + ahead


@given(st.binary(max_size=2000))
def test_noise_is_no_frame(noise: bytes) -> None:
    assert frame_at(noise, 0) is None
    assert frame_behind(noise, 0) is None


def test_the_hash_of_a_frame_can_be_computed_from_the_hashes_of_its_records() -> None:
    records = [b"\x81\xa1a\x01", b"\x81\xa1b\x02"]

    _, digest = encode_frame(3, b"p" * 32, records)

    leaves = b"".join(sha256(b"\0" + record).digest() for record in records)
    assert digest == sha256(b"\1" + (3).to_bytes(8, "little") + b"p" * 32 + leaves).digest()


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), _HASHES)
def test_a_header_comes_back_as_it_was(number: int, sequence: int, previous: bytes) -> None:
    header = SegmentHeader("gateway-0", number, sequence, previous)

    assert decode_header(encode_header(header), Path("x")) == header


def test_a_header_of_a_newer_format_is_told_from_a_damaged_one() -> None:
    data = bytearray(encode_header(SegmentHeader("w", 1, 1, GENESIS)))
    newer = bytes(data[:8]) + (2).to_bytes(2, "little") + bytes(data[10:])
    data[20] ^= 1

    with pytest.raises(NewerFormat, match="journal format 2"):
        decode_header(newer, Path("x"))
    with pytest.raises(JournalDamaged):
        decode_header(bytes(data), Path("x"))
    with pytest.raises(JournalDamaged):
        decode_header(b"SLIPWAYJ", Path("x"))


@pytest.mark.parametrize("name", ["", "a/b", "n" * 33])
def test_a_name_that_does_not_fit_the_header_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a journal writer"):
        encode_header(SegmentHeader(name, 1, 1, GENESIS))


def test_fields_and_kinds_of_a_later_version_are_carried_through() -> None:
    call = CallRecord(time=1.0, call_id=b"c", root_id=b"c", algorithm="ann/echo")
    known = msgspec.msgpack.decode(encode_record(call))
    later = {"k": "reading", "t": 2.0, "id": b"r", "value": 7}

    records = decode_records(msgspec.msgpack.encode([{**known, "zz": 7}, later, known]))

    assert records[0] == (call, {"zz": 7})
    assert records[1] == (EventRecord(time=2.0, event_id=b"r", verb="record.reading", resource=""), later)
    assert records[2] == (call, {})


def test_names_on_disk_are_unique_and_short() -> None:
    for kind in (CallRecord, EventRecord):
        names = [field.encode_name for field in msgspec.structs.fields(kind)]
        assert len(set(names)) == len(names)
        assert all(len(name) <= 2 and name != "k" for name in names)
