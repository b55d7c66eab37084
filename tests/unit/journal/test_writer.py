from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from slipway.errors import DataDirectoryInUse, DiskFull
from slipway.journal.format import segments
from slipway.journal.records import Payload
from slipway.journal.segment import prepare
from slipway.journal.writer import JournalWriter
from tests.conditions import eventually_async
from tests.unit.journal.journals import SEGMENT, append, call, events, names, open_writer, problems, write


async def test_records_come_back_in_order_over_restarts_and_segments(tmp_path: Path) -> None:
    for start in range(0, 300, 100):
        await write(tmp_path, [call(number) for number in range(start, start + 100)], segment_bytes=16_384)

    assert names(tmp_path) == [f"ann/a{number}" for number in range(300)]
    assert len(segments(tmp_path / "w")) > 1
    assert problems(tmp_path) == []


async def test_many_records_that_wait_are_released_in_order(tmp_path: Path) -> None:
    writer = open_writer(tmp_path, segment_bytes=2**20)
    released: list[int] = []
    for number in range(10_000):
        writer.append(call(number), None, lambda number=number: released.append(number), pytest.fail)  # type: ignore[misc]

    assert await append(writer, call(10_000)) == "durable"

    writer.close()
    assert released == list(range(10_000))
    assert names(tmp_path) == [f"ann/a{number}" for number in range(10_001)]


async def test_what_waits_is_written_before_closing(tmp_path: Path) -> None:
    never_started = JournalWriter(tmp_path / "v", "v", segment_bytes=SEGMENT)
    started = open_writer(tmp_path)
    for writer in (never_started, started):
        writer.append(call(1), None, _nothing, _nothing)
        writer.close()

    assert names(tmp_path) == ["ann/a1", "ann/a1"]


async def test_a_record_that_cannot_be_encoded_fails_alone(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    appended = [call(1), call(2, caller="\ud800"), call(3, duration_us=2**70), call(4)]

    outcomes = await asyncio.gather(*(append(writer, record) for record in appended))

    writer.close()
    assert outcomes == ["durable", "failed", "failed", "durable"]
    assert names(tmp_path) == ["ann/a1", "ann/a4"]


async def test_large_payloads_do_not_hold_up_other_calls_and_lose_nothing(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    large, data = [call(number) for number in range(4)], bytes(2**25)
    waiting = [
        asyncio.ensure_future(append(writer, record, Payload(call_id=record.call_id, input=data))) for record in large
    ]
    await asyncio.sleep(0)

    assert await append(writer, call(9)) == "durable"
    assert not all(done.done() for done in waiting)

    assert await asyncio.gather(*waiting) == ["durable"] * 4
    writer.close()
    assert sorted(names(tmp_path)) == ["ann/a0", "ann/a1", "ann/a2", "ann/a3", "ann/a9"]
    assert all(len(record.input_digest) == 32 for record in large)
    assert problems(tmp_path) == []


async def test_a_callback_that_fails_does_not_keep_back_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = open_writer(tmp_path)

    def fail() -> None:
        raise RuntimeError("broken callback")

    writer.append(call(1), None, fail, _nothing)
    assert await append(writer, call(2)) == "durable"

    writer.close()
    assert "broken callback" in caplog.text


async def test_a_writer_has_one_process_at_a_time(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "w", "w", segment_bytes=SEGMENT)
    with pytest.raises(DataDirectoryInUse):
        JournalWriter(tmp_path / "w", "w", segment_bytes=SEGMENT)
    writer.close()
    JournalWriter(tmp_path / "w", "w", segment_bytes=SEGMENT).close()


async def test_a_frame_larger_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2, caller="c" * 3 * SEGMENT), call(3)])

    assert names(tmp_path) == ["ann/a1", "ann/a2", "ann/a3"]
    assert len(segments(tmp_path / "w")) == 3
    assert problems(tmp_path) == []


async def test_the_next_segment_is_prepared_ahead_and_used(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    await append(writer, call(1, caller="c" * 40_000))
    spare = tmp_path / "w" / "00000002.new"

    async def prepared() -> bool:
        return spare.exists()

    await eventually_async(prepared)
    assert spare.stat().st_size == SEGMENT

    await append(writer, call(2, caller="c" * 40_000))
    assert not spare.exists()
    writer.close()
    assert names(tmp_path) == ["ann/a1", "ann/a2"]
    assert sorted(path.suffix for path in (tmp_path / "w").iterdir()) == sorted(
        ["", ".journal", ".journal", ".payloads", ".payloads"]
    )


async def test_a_disk_that_takes_nothing_fails_the_waiting_and_recovers_by_itself(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    blocked = tmp_path / "w" / "00000002.part"
    blocked.mkdir()  # the next segment cannot be made
    big = [call(number, caller="c" * 30_000) for number in range(5)]

    outcomes = [await append(writer, record) for record in big[:4]]

    assert outcomes == ["durable", "durable", "failed", "failed"]
    assert not writer.healthy
    with pytest.raises(DiskFull):
        await writer.write(call(8))
    blocked.rmdir()

    async def healthy() -> bool:
        return writer.healthy

    await eventually_async(healthy)
    await writer.write(call(9))
    writer.close()
    assert names(tmp_path) == ["ann/a0", "ann/a1", "ann/a9"]
    assert problems(tmp_path) == []


def test_preparing_a_segment_twice_keeps_the_first(tmp_path: Path) -> None:
    first = prepare(tmp_path, 1, 4096)
    first.write_bytes(b"kept")

    assert prepare(tmp_path, 1, 4096).read_bytes() == b"kept"


async def test_events_need_nobody_to_wait_for_them(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.event("ann", "key.revoke", "account/ann", "refused", key="k1")
    writer.close()

    (event,) = events(tmp_path)
    assert (event.actor, event.verb, event.resource) == ("ann", "key.revoke", "account/ann")
    assert (event.outcome, event.detail) == ("refused", {"key": "k1"})


def _nothing() -> None:
    pass
