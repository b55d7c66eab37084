from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.journal.checkpoints import CHECKPOINTS, Checkpointer, checkpoint_events
from slipway.journal.format import HEADER_SIZE, encode_frame, payload_path
from slipway.journal.payloads import encode_payload_frame
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord, Payload
from slipway.journal.signing import is_signed, load_public_key, read_checkpoint
from slipway.journal.verify import ChainReport, verify
from tests.unit.journal.journals import (
    SEGMENT,
    append,
    call,
    change,
    events,
    flip,
    frames,
    open_writer,
    overwrite,
    problems,
    segment,
    write,
)


class Ledger:
    """A journal of two segments below `directory`, with checkpoints."""

    def __init__(self, directory: Path) -> None:
        self.journal = directory / "journal"
        self.key = directory / "ledger.key"
        self.public = directory / "ledger.pub"

    async def checkpoint(self) -> None:
        """Sign the heads as they are."""
        writer = open_writer(self.journal, CHECKPOINTS)
        event = Checkpointer(self.journal, self.key).step()
        assert event is not None
        assert await append(writer, event) == "durable"
        writer.close()

    def reports(self) -> dict[str, ChainReport]:
        """By writer."""
        return {report.writer: report for report in verify(self.journal, self.public)}

    def problems(self) -> list[str]:
        """Of all writers."""
        return problems(self.journal, self.public)


@pytest.fixture
async def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path)
    await write(made.journal, [call(number, caller="c" * 20_000) for number in range(4)])
    await made.checkpoint()
    return made


async def test_a_whole_ledger_has_no_problems(ledger: Ledger) -> None:
    found = ledger.reports()

    assert ledger.problems() == []
    w = found["w"]
    assert (w.frames, w.records, w.payloads, w.sequence, w.signed) == (4, 4, 4, 4, 4)
    assert w.head == frames(segment(ledger.journal, 2))[-1].hash().hex()
    assert found[CHECKPOINTS].records == 1


async def test_a_chain_that_was_cut_shorter_is_found_by_its_checkpoint(ledger: Ledger) -> None:
    last = frames(segment(ledger.journal, 2))[-1]
    overwrite(segment(ledger.journal, 2), last.offset, bytes(last.end - last.offset))

    assert ledger.reports()["w"].problems == ["frame 4 of w is not what a checkpoint signed"]


async def test_a_removed_writer_is_found(ledger: Ledger) -> None:
    for path in (ledger.journal / "w").iterdir():
        path.unlink()

    assert ledger.reports()["w"].problems == ["frame 4 of w is not what a checkpoint signed"]


async def test_a_removed_first_segment_is_found(ledger: Ledger) -> None:
    segment(ledger.journal).unlink()

    assert "does not follow frame 0: a segment is missing" in ledger.reports()["w"].problems[0]


async def test_a_chain_that_was_forged_without_the_key_is_found(ledger: Ledger, tmp_path: Path) -> None:
    forged = tmp_path / "forged"
    await write(forged, [call(number, caller="c" * 20_000, status=500) for number in range(4)])
    for number in (1, 2):
        segment(ledger.journal, number).write_bytes(segment(forged, number).read_bytes())
        payload_path(segment(ledger.journal, number)).unlink()

    assert ledger.reports()["w"].problems == ["frame 4 of w is not what a checkpoint signed"]


async def test_frames_that_were_exchanged_are_found(ledger: Ledger) -> None:
    first, second = frames(segment(ledger.journal))[:2]

    def exchange(data: bytearray) -> None:
        data[first.offset : second.end] = data[second.offset : second.end] + data[first.offset : first.end]

    change(segment(ledger.journal), exchange)

    assert f"byte {first.offset}: frame does not follow frame 0" in ledger.reports()["w"].problems[0]


async def test_a_frame_that_was_inserted_is_found(ledger: Ledger) -> None:
    last = frames(segment(ledger.journal, 2))[-1]
    frame, _ = encode_frame(5, bytes(32), [msgspec.msgpack.encode({"k": "call", "t": 1.0, "id": b"", "ro": b""})])
    overwrite(segment(ledger.journal, 2), last.end, frame)

    assert f"byte {last.end}: frame does not follow frame 4" in ledger.reports()["w"].problems[0]


async def test_everything_behind_damage_is_checked_too(ledger: Ledger) -> None:
    first, _, third = frames(segment(ledger.journal))
    flip(segment(ledger.journal), first.offset + 70)
    flip(segment(ledger.journal), third.offset + 70)

    found = ledger.reports()["w"].problems

    assert found[0] == f"00000001.journal byte {first.offset}: frame 1 is damaged"
    assert found[1] == f"00000001.journal byte {third.offset}: frame 3 is damaged"
    assert len(found) == 3  # and the next segment does not follow


async def test_a_payload_that_was_changed_is_found(ledger: Ledger) -> None:
    path = payload_path(segment(ledger.journal))
    (record,) = [r for r in _calls(ledger) if r.algorithm == "ann/a1"]
    forged = Payload(call_id=record.call_id, salt=b"s" * 16, input=b"another", result=b"r")
    path.write_bytes(encode_payload_frame(2, [forged]))

    (found,) = ledger.reports()["w"].problems
    assert found == f"00000001.journal frame 2: the payload of call {record.call_id.hex()} is not what its record says"


async def test_a_checkpoint_that_was_signed_with_another_key_is_found(ledger: Ledger, tmp_path: Path) -> None:
    ledger.key.unlink()
    ledger.public.rename(tmp_path / "known.pub")
    await write(ledger.journal, [call(9)])
    await ledger.checkpoint()

    found = problems(ledger.journal, tmp_path / "known.pub")

    assert found == ["frame 2: the checkpoint's signature is wrong"]


async def test_checkpoints_without_a_public_key_are_a_problem(ledger: Ledger) -> None:
    ledger.public.unlink()

    assert "the public key cannot be read" in ledger.problems()[0]


async def test_a_checkpoint_is_written_whenever_a_head_has_moved(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    checkpointer = Checkpointer(ledger.journal, ledger.key)
    assert checkpointer.step() is None
    writer = open_writer(ledger.journal)
    heads = []
    for number in range(3):
        await append(writer, call(number, caller="c" * 40_000))
        event = checkpointer.step()
        assert event is not None
        assert checkpointer.step() is None
        checkpoint = read_checkpoint(event.detail)
        assert is_signed(event.detail, checkpoint, load_public_key(ledger.public))
        heads.append(checkpoint.heads["w"])
        assert heads[-1] == writer.head
    writer.close()
    assert [sequence for sequence, _ in heads] == [1, 2, 3]
    assert ledger.key.stat().st_mode & 0o777 == 0o600


async def test_a_restarted_checkpointer_signs_the_same_head(ledger: Ledger) -> None:
    event = Checkpointer(ledger.journal, ledger.key).step()

    assert event is not None
    ((_, known),) = checkpoint_events(ledger.journal)
    assert read_checkpoint(event.detail).heads == read_checkpoint(known.detail).heads


async def test_checkpoints_run_beside_a_writer(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    signed = open_writer(ledger.journal, CHECKPOINTS)
    writer = open_writer(ledger.journal)
    running = asyncio.ensure_future(Checkpointer(ledger.journal, ledger.key).run(signed, seconds=0.001))
    number = 0
    while signed.head[0] < 5:
        number += 1
        await append(writer, call(number))
    running.cancel()
    writer.close()
    signed.close()

    assert ledger.problems() == []
    assert events(ledger.journal) == []  # checkpoints are no part of the audit


async def test_verifying_beside_a_writer_finds_no_problem(tmp_path: Path) -> None:
    writer = open_writer(tmp_path, segment_bytes=SEGMENT)
    verifying = asyncio.ensure_future(asyncio.to_thread(problems, tmp_path))
    number = 0
    while not verifying.done() or number < 100:
        number += 1
        await append(writer, call(number, caller="c" * 500))
    writer.close()

    assert await verifying == []


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_bit_of_what_was_written_is_found(ledger: Ledger, data: st.DataObject) -> None:
    path = segment(ledger.journal, data.draw(st.integers(1, 2)))
    written = frames(path)[-1].end
    place = data.draw(st.one_of(st.integers(0, HEADER_SIZE - 1), st.integers(0, written - 1)))
    flip(path, place)
    try:
        if 8 <= place < 10:
            return  # the format's version: refused as newer, or as no header
        assert ledger.reports()["w"].problems
    finally:
        flip(path, place)


def _calls(ledger: Ledger) -> list[CallRecord]:
    return [entry.record for entry in read_all(ledger.journal) if isinstance(entry.record, CallRecord)]
