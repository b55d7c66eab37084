from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import msgspec
import pytest

from slipway.errors import DataDirectoryInUse, NewerFormat
from slipway.ids import new_id_bytes
from slipway.journal.checkpoints import CHECKPOINTS, Checkpointer
from slipway.journal.format import HEADER_SIZE, JournalDamaged, frame_at, segments
from slipway.journal.reader import Cursor, Payloads, read_all, read_from
from slipway.journal.records import CallRecord, EventRecord, Payload, encode_records, unknown_fields
from slipway.journal.verify import verify
from slipway.journal.writer import JournalWriter

SEGMENT = 64 * 1024


def call(number: int, **changes: object) -> CallRecord:
    """A call record; its algorithm tells it apart."""
    identity = new_id_bytes()
    values = {"time": time.time(), "call_id": identity, "root_id": identity, "algorithm": f"ann/a{number}"}
    return CallRecord(**{**values, **changes})  # type: ignore[arg-type]


async def write(directory: Path, records: list[CallRecord], **options: object) -> None:
    """Append records with payloads, and wait until they are durable."""
    writer = JournalWriter(directory / "w", "w", **{"segment_bytes": SEGMENT, **options})  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    writer.start(loop)
    for record in records:
        durable = loop.create_future()
        payload = Payload(call_id=record.call_id, input=record.algorithm.encode(), result=b"r")
        writer.append(record, payload, lambda done=durable: done.set_result(None), pytest.fail)  # type: ignore[misc]
        await durable
    writer.close()


def names(directory: Path) -> list[str]:
    """The algorithms of all call records, in order."""
    return [entry.record.algorithm for entry in read_all(directory) if isinstance(entry.record, CallRecord)]


async def test_records_come_back_in_order_over_restarts_and_segments(tmp_path: Path) -> None:
    for start in range(0, 300, 100):
        await write(tmp_path, [call(number) for number in range(start, start + 100)], segment_bytes=16_384)

    assert names(tmp_path) == [f"ann/a{number}" for number in range(300)]
    assert len(segments(tmp_path / "w")) > 1
    assert [report.problems for report in verify(tmp_path, tmp_path / "none")] == [[]]


async def test_payloads_are_found_and_long_ones_are_kept_as_digests_only(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2)], payload_limit_bytes=3)
    found = Payloads(tmp_path)
    entries = list(read_all(tmp_path))

    kept = [found.find(entry) for entry in entries]

    assert [payload.result for payload in kept if payload] == [b"r", b"r"]
    assert [payload.input for payload in kept if payload] == [None, None]
    assert all(isinstance(entry.record, CallRecord) and len(entry.record.input_digest) == 32 for entry in entries)


async def test_a_torn_tail_is_cut_and_reported(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2)])
    segment = segments(tmp_path / "w")[0]
    data = segment.read_bytes()
    first = frame_at(data, HEADER_SIZE)
    assert first is not None
    second = frame_at(data, first.end)
    assert second is not None
    with segment.open("r+b") as file:
        file.seek(second.end - 5)
        file.write(bytes(5))

    await write(tmp_path, [call(3)])

    assert names(tmp_path) == ["ann/a1", "ann/a3"]
    events = [entry.record for entry in read_all(tmp_path) if isinstance(entry.record, EventRecord)]
    assert [(event.verb, event.outcome) for event in events] == [("journal.recover", "torn tail cut")]
    assert verify(tmp_path, tmp_path / "none")[0].problems == []


async def test_damage_with_whole_frames_behind_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2), call(3)])
    segment = segments(tmp_path / "w")[0]
    _flip(segment, HEADER_SIZE + 60)
    before = segment.read_bytes()

    with pytest.raises(JournalDamaged, match="damaged"):
        JournalWriter(tmp_path / "w", "w", segment_bytes=SEGMENT)

    assert segment.read_bytes() == before


async def test_verify_finds_and_places_a_changed_byte(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2)])
    _flip(segments(tmp_path / "w")[0], HEADER_SIZE + 70)

    assert f"byte {HEADER_SIZE}" in verify(tmp_path, tmp_path / "none")[0].problems[0]


async def test_verify_finds_a_chain_that_was_cut_shorter_than_a_checkpoint(tmp_path: Path) -> None:
    key = tmp_path / "ledger.key"
    journals = tmp_path / "journal"
    await write(journals, [call(1), call(2)])
    await _checkpoint(journals, key)
    data = segments(journals / "w")[0]
    first = frame_at(data.read_bytes(), HEADER_SIZE)
    assert first is not None
    with data.open("r+b") as file:
        file.seek(first.end)
        file.write(bytes(SEGMENT - first.end))

    problems = {report.writer: report.problems for report in verify(journals, key.with_suffix(".pub"))}

    assert problems[CHECKPOINTS] == []
    assert problems["w"] == ["frame 2 of w is not what a checkpoint signed"]


async def test_calls_left_open_are_closed_as_interrupted_even_after_a_new_segment(tmp_path: Path) -> None:
    opened = call(0, phase="start")
    await write(tmp_path, [opened, *(call(number) for number in range(1, 250))], segment_bytes=16_384)
    assert len(segments(tmp_path / "w")) > 1

    await write(tmp_path, [])

    last = list(read_all(tmp_path))[-1].record
    assert isinstance(last, CallRecord)
    assert (last.call_id, last.phase, last.error_type) == (opened.call_id, "end", "Interrupted")


async def test_a_saved_cursor_goes_on_where_it_was(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2)])
    first, cursor = read_from(tmp_path, "w", Cursor(), limit=1)
    await write(tmp_path, [call(3)])

    rest, _ = read_from(tmp_path, "w", msgspec.json.decode(msgspec.json.encode(cursor), type=Cursor))

    found = [entry.record.algorithm for entry in first + rest if isinstance(entry.record, CallRecord)]
    assert found == ["ann/a1", "ann/a2", "ann/a3"]


async def test_a_writer_has_one_process_at_a_time(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "w", "w", segment_bytes=SEGMENT)
    with pytest.raises(DataDirectoryInUse):
        JournalWriter(tmp_path / "w", "w", segment_bytes=SEGMENT)
    writer.close()


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    await write(tmp_path, [call(1)])
    segment = segments(tmp_path / "w")[0]
    with segment.open("r+b") as file:
        file.seek(8)
        file.write((2).to_bytes(2, "little"))

    with pytest.raises(NewerFormat, match="format 2"):
        JournalWriter(tmp_path / "w", "w", segment_bytes=SEGMENT)


def test_fields_of_a_later_version_are_carried_through() -> None:
    later = msgspec.msgpack.encode([{**msgspec.msgpack.decode(encode_records([call(1)]))[0], "zz": 7}])

    assert unknown_fields(later) == [{"zz": 7}]


async def test_a_full_disk_fails_the_waiting_and_recovers_by_itself(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "w", "w", segment_bytes=SEGMENT)
    loop = asyncio.get_running_loop()
    writer.start(loop)
    sealed = tmp_path / "w" / "00000002.new"
    sealed.mkdir()  # the next segment cannot be made, as on a full disk
    (sealed / "x").touch()
    outcomes: list[str] = []

    async def append(number: int) -> str:
        done = loop.create_future()
        filler = call(number, caller="c" * 30_000)
        writer.append(filler, None, lambda: done.set_result("durable"), lambda: done.set_result("failed"))
        return str(await done)

    outcomes = [await append(number) for number in range(4)]
    assert outcomes == ["durable", "durable", "failed", "failed"]
    assert not writer.healthy

    (sealed / "x").unlink()
    sealed.rmdir()
    while not writer.healthy:
        await asyncio.sleep(0.05)
    assert await append(9) == "durable"
    writer.close()
    assert names(tmp_path) == ["ann/a0", "ann/a1", "ann/a9"]
    assert verify(tmp_path, tmp_path / "none")[0].problems == []


def _flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 1,)))
        os.fsync(file.fileno())


async def _checkpoint(journals: Path, key: Path) -> None:
    writer = JournalWriter(journals / CHECKPOINTS, CHECKPOINTS, segment_bytes=SEGMENT)
    writer.start(asyncio.get_running_loop())
    task = asyncio.ensure_future(Checkpointer(journals, key).run(writer))
    while writer.head[0] == 0:
        await asyncio.sleep(0.01)
    task.cancel()
    writer.close()
