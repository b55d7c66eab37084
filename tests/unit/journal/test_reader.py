from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from slipway.errors import NewerFormat
from slipway.ids import new_id_bytes
from slipway.journal.format import HEADER_SIZE, segments
from slipway.journal.reader import Cursor, find_call, follow, read_all, read_from
from slipway.journal.records import CallRecord, Entry
from tests.unit.journal.journals import SEGMENT, call, flip, frames, names, open_writer, overwrite, segment, write


def algorithms(entries: list[Entry]) -> list[str]:
    """What was called."""
    return [entry.record.algorithm for entry in entries if isinstance(entry.record, CallRecord)]


async def test_all_writers_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    await write(tmp_path, [call(1, time=1.0), call(4, time=4.0)], "gateway-0")
    await write(tmp_path, [call(2, time=2.0), call(3, time=3.0)], "gateway-1")
    await write(tmp_path, [call(5, time=2.5)], "checkpoints")

    assert names(tmp_path) == ["ann/a1", "ann/a2", "ann/a3", "ann/a4"]


async def test_entries_are_filtered_by_time_caller_and_algorithm(tmp_path: Path) -> None:
    records = [
        call(1, time=1.0, caller="ann", algorithm="bob/echo"),
        call(2, time=2.0, caller="bob", origin="ann", algorithm="bob/other"),
        call(3, time=3.0, caller="bob", algorithm="ann/echo"),
    ]
    await write(tmp_path, records)
    writer = open_writer(tmp_path, "control")
    writer.event("ann", "algorithm.create", "bob/echo")
    writer.close()

    def found(**wanted: object) -> list[str]:
        entries = read_all(tmp_path, **wanted)  # type: ignore[arg-type]
        return [e.record.algorithm if isinstance(e.record, CallRecord) else e.record.verb for e in entries]

    assert found(since=2.0) == ["bob/other", "ann/echo", "algorithm.create"]
    assert found(caller="ann") == ["bob/echo", "bob/other", "algorithm.create"]
    assert found(algorithm="bob/echo") == ["bob/echo", "algorithm.create"]
    assert found(algorithm="echo") == ["bob/echo", "ann/echo"]
    assert found(caller="bob", algorithm="ann/echo", since=2.5) == ["ann/echo"]


async def test_a_saved_cursor_goes_on_where_it_was(tmp_path: Path) -> None:
    await write(tmp_path, [call(number) for number in range(100)], segment_bytes=16_384)
    saved = msgspec.json.encode(Cursor())
    found: list[str] = []
    for _ in range(50):
        entries, cursor = read_from(tmp_path, "w", msgspec.json.decode(saved, type=Cursor), limit=3)
        found += algorithms(entries)
        saved = msgspec.json.encode(cursor)
    await write(tmp_path, [call(100)], segment_bytes=16_384)

    rest, _ = read_from(tmp_path, "w", msgspec.json.decode(saved, type=Cursor))

    assert found + algorithms(rest) == [f"ann/a{number}" for number in range(101)]


async def test_a_cursor_passes_over_segments_that_are_gone(tmp_path: Path) -> None:
    await write(tmp_path, [call(number, caller="c" * 40_000) for number in range(4)])
    _, cursor = read_from(tmp_path, "w", Cursor(), limit=1)
    segment(tmp_path).unlink()
    segment(tmp_path).unlink()

    entries, _ = read_from(tmp_path, "w", cursor)

    assert algorithms(entries) == ["ann/a2", "ann/a3"]


async def test_a_frame_that_is_being_written_is_left_for_the_next_time(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2)])
    last = frames(segment(tmp_path))[1]
    whole = segment(tmp_path).read_bytes()[last.offset : last.end]
    overwrite(segment(tmp_path), last.offset, whole[:50] + bytes(len(whole) - 50))
    entries, cursor = read_from(tmp_path, "w", Cursor())
    assert algorithms(entries) == ["ann/a1"]

    overwrite(segment(tmp_path), last.offset, whole)

    assert algorithms(read_from(tmp_path, "w", cursor)[0]) == ["ann/a2"]


async def test_following_gives_what_is_there_then_what_is_added(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2)])
    following = follow(tmp_path, pause_seconds=0.001)
    assert algorithms(next(following)) == ["ann/a1", "ann/a2"]
    assert next(following) == []

    await write(tmp_path, [call(3, caller="c" * SEGMENT), call(4)])
    await write(tmp_path, [call(5)], "v")

    added = [name for _ in range(3) for name in algorithms(next(following))]
    assert added == ["ann/a3", "ann/a4", "ann/a5"]


async def test_following_from_now_on_sees_a_journal_that_was_silent_for_long(tmp_path: Path) -> None:
    await write(tmp_path, [call(1, time=1.0)])
    following = follow(tmp_path, since=time.time() + 10_000, pause_seconds=0.001)
    assert next(following) == []

    await write(tmp_path, [call(2, time=time.time() + 20_000)])

    assert algorithms(next(following)) == ["ann/a2"]


async def test_damage_is_passed_over_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await write(tmp_path, [call(number, caller="c" * 40_000) for number in range(3)])
    flip(segment(tmp_path, 2), HEADER_SIZE + 100)

    assert names(tmp_path) == ["ann/a0", "ann/a2"]
    assert "slipway audit verify" in caplog.text


async def test_a_newer_format_is_not_read(tmp_path: Path) -> None:
    await write(tmp_path, [call(1)])
    overwrite(segment(tmp_path), 8, (2).to_bytes(2, "little"))

    with pytest.raises(NewerFormat):
        names(tmp_path)


async def test_a_call_is_found_by_its_id(tmp_path: Path) -> None:
    identity = new_id_bytes()
    start, end = call(7, phase="start", call_id=identity), call(7, phase="end", call_id=identity)
    await write(tmp_path, [call(n) for n in range(200)], segment_bytes=16_384)
    await write(tmp_path, [start, call(8), end], "v")

    assert [entry.record for entry in find_call(tmp_path, identity)] == [start, end]
    assert find_call(tmp_path, new_id_bytes()) == []
    assert len(segments(tmp_path / "w")) > 1


def test_there_is_nothing_where_there_is_no_journal(tmp_path: Path) -> None:
    assert list(read_all(tmp_path / "none")) == []
    assert next(follow(tmp_path)) == []
