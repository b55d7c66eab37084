from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import JournalDamaged, NewerFormat
from slipway.journal.format import HEADER_SIZE, segments
from slipway.journal.payloads import find_payload, payload_frames
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.journal.writer import JournalWriter
from tests.unit.journal.journals import (
    SEGMENT,
    call,
    change,
    events,
    flip,
    frames,
    names,
    overwrite,
    problems,
    segment,
    write,
)


@pytest.mark.parametrize("left", [1, 7, 8, 12, 50, 70])
async def test_a_torn_tail_is_cut_and_reported(tmp_path: Path, left: int) -> None:
    await write(tmp_path, [call(1), call(2)])
    last = frames(segment(tmp_path))[1]
    torn = last.end - last.offset - left
    overwrite(segment(tmp_path), last.offset + left, bytes(torn))

    await write(tmp_path, [call(3)])

    assert names(tmp_path) == ["ann/a1", "ann/a3"]
    (report,) = events(tmp_path)
    assert (report.verb, report.resource, report.outcome) == ("journal.recover", "journal/w", "torn tail cut")
    assert 0 < int(report.detail["bytes"]) <= left
    assert problems(tmp_path) == []


async def test_a_journal_that_was_closed_well_is_not_reported(tmp_path: Path) -> None:
    await write(tmp_path, [call(1)])
    await write(tmp_path, [call(2)])

    assert events(tmp_path) == []


@pytest.mark.parametrize("place", [0, 2, 5, 9, 30, 60])
async def test_damage_with_whole_frames_behind_it_is_refused_and_left_alone(tmp_path: Path, place: int) -> None:
    await write(tmp_path, [call(1), call(2), call(3)])
    flip(segment(tmp_path), HEADER_SIZE + place)
    _assert_refused(tmp_path)


async def test_zeros_over_a_frame_are_damage_and_no_end(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2), call(3)])
    second = frames(segment(tmp_path))[1]
    overwrite(segment(tmp_path), second.offset, bytes(second.end - second.offset))
    _assert_refused(tmp_path)


async def test_a_frame_that_does_not_follow_the_one_before_is_refused(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2), call(3)])
    _, second, third = frames(segment(tmp_path))

    def drop_second(data: bytearray) -> None:
        data[second.offset : second.end] = b""

    change(segment(tmp_path), drop_second)
    assert third.sequence == 3
    _assert_refused(tmp_path)


async def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    await write(tmp_path, [call(1)])
    overwrite(segment(tmp_path), 8, (2).to_bytes(2, "little"))
    before = segment(tmp_path).read_bytes()

    with pytest.raises(NewerFormat, match="format 2"):
        JournalWriter(tmp_path / "w", "w", segment_bytes=SEGMENT)

    assert segment(tmp_path).read_bytes() == before


async def test_calls_left_open_are_closed_as_interrupted_however_many_segments_ago_they_began(tmp_path: Path) -> None:
    opened = call(0, phase="start", caller="jpublic", key_id="k1", gateway="w")
    finished = call(1, phase="start")
    ended = call(1, phase="end", call_id=finished.call_id)
    await write(tmp_path, [opened, finished, ended, *(call(n) for n in range(2, 300))], segment_bytes=16_384)
    assert len(segments(tmp_path / "w")) > 2

    await write(tmp_path, [])

    ends = [e.record for e in read_all(tmp_path) if isinstance(e.record, CallRecord) and e.record.phase == "end"]
    assert [end.call_id for end in ends] == [finished.call_id, opened.call_id]
    assert (ends[1].error_type, ends[1].status) == ("Interrupted", 500)
    assert (ends[1].caller, ends[1].key_id, ends[1].gateway) == ("jpublic", "k1", "w")
    await write(tmp_path, [])
    assert len([e for e in read_all(tmp_path) if isinstance(e.record, CallRecord)]) == 302


async def test_open_calls_survive_a_crash_right_after_a_new_segment_was_begun(tmp_path: Path) -> None:
    opened = call(0, phase="start")
    await write(tmp_path, [opened, call(1, caller="c" * 60_000), call(2, caller="c" * 60_000)])
    last = segment(tmp_path, len(segments(tmp_path / "w")))
    overwrite(last, HEADER_SIZE, bytes(SEGMENT - HEADER_SIZE))  # as if the crash came before its first frame

    await write(tmp_path, [])

    ends = [e.record for e in read_all(tmp_path) if isinstance(e.record, CallRecord) and e.record.phase == "end"]
    assert [end.call_id for end in ends] == [opened.call_id]
    assert problems(tmp_path) == []


async def test_payloads_whose_records_never_came_are_cut(tmp_path: Path) -> None:
    lost = call(2)
    await write(tmp_path, [call(1), lost])
    last = frames(segment(tmp_path))[1]
    overwrite(segment(tmp_path), last.offset, bytes(last.end - last.offset))

    await write(tmp_path, [call(3)])

    assert find_payload(tmp_path, lost.call_id) is None
    assert [frame.sequence for frame in payload_frames(segment(tmp_path))] == [1, 2]
    assert problems(tmp_path) == []


def _assert_refused(directory: Path) -> None:
    before = segment(directory).read_bytes()
    with pytest.raises(JournalDamaged):
        JournalWriter(directory / "w", "w", segment_bytes=SEGMENT)
    assert segment(directory).read_bytes() == before
    assert problems(directory)
