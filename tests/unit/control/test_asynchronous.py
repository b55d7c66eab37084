"""Asynchronous calls in control, without gateways: what is taken, what a crash leaves, what is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from slipway.control.asynchronous.batch import Batch
from slipway.control.asynchronous.files import RequestFiles
from slipway.control.asynchronous.gateways import Answer, Gateways
from slipway.control.asynchronous.intake import Intake
from slipway.control.asynchronous.records import WRITER, end_payload, end_record, start_payload, start_record
from slipway.control.asynchronous.recovery import Recovery
from slipway.control.asynchronous.retention import Retention
from slipway.control.asynchronous.room import Room
from slipway.control.asynchronous.runs import Runs
from slipway.errors import NoSuchRequest
from slipway.ids import new_id
from slipway.journal.reader import read_writer
from slipway.journal.records import CallRecord
from slipway.journal.writer import JournalWriter
from slipway.registry import requests
from slipway.registry.requests import Request, Settlement
from slipway.registry.store import Store
from slipway.settings import Settings
from slipway.types import AsyncCall, Outcome
from slipway.wire.handover import Submission

DONE = Answer(Outcome(result_type="json", result_size=2), b"[]")
LARGE = bytes(100_000)


class Parts:
    """The parts on one data directory, as a control process has them."""

    def __init__(self, store: Store, root: Path) -> None:
        settings = Settings(data=str(root))
        self.store, self.journals = store, settings.journal_directory
        self.journal = JournalWriter(self.journals / WRITER, WRITER, segment_bytes=2**20)
        self.journal.start(asyncio.get_running_loop())
        self.files = RequestFiles(settings.requests_directory)
        self.intake = Intake(store, self.journal, self.files, lambda: None)
        self.runs = Runs(store, self.journal, self.files, Gateways(settings), self.intake, 4)

    async def recover(self) -> None:
        """What a start does."""
        recovery = Recovery(self.store, self.journals, self.journal, self.files)
        await recovery.begin()
        await recovery.finish(self.runs)

    async def keep(self, call: AsyncCall, body: bytes = b"[]") -> None:
        """As far as the store: a crash comes before its start is on record."""
        inputs = await self.files.keep_inputs([(call.request_id, body)])
        async with self.store.begin() as connection:
            await requests.add(connection, [(call, inputs[0])])

    async def settle(self, call: AsyncCall) -> None:
        """As far as the store: a crash comes before its end is on record."""
        async with self.store.begin() as connection:
            await requests.settle(
                connection, [Settlement(request_id=call.request_id, outcome=DONE.outcome, result=DONE.result)]
            )

    async def get(self, call: AsyncCall) -> Request:
        """As the store has it."""
        async with self.store.read() as connection:
            return await requests.get(connection, call.request_id)

    def phases(self) -> list[str]:
        """What is on record."""
        entries = [entry.record for entry in read_writer(self.journals, WRITER)]
        return [record.phase for record in entries if isinstance(record, CallRecord)]


@pytest.fixture
async def parts(store: Store, tmp_path: Path) -> AsyncIterator[Parts]:
    parts = Parts(store, tmp_path / "data")
    yield parts
    await asyncio.to_thread(parts.journal.close)


def a_call() -> AsyncCall:
    return AsyncCall(
        request_id=new_id(),
        caller="ann",
        algorithm="ann/echo",
        version="0.1.0",
        version_id="v",
        timeout=300.0,
        content_type="json",
        input_size=2,
    )


async def test_a_call_is_taken_once_however_often_it_is_handed_in(parts: Parts) -> None:
    submission = Submission(a_call(), b"[]")
    answers = await asyncio.gather(*(parts.intake.take([submission, submission]) for _ in range(3)))
    assert [one.refusal for answer in answers for one in answer] == [""] * 6
    assert parts.phases() == ["start"]


async def test_a_journal_that_cannot_be_written_takes_nothing(parts: Parts) -> None:
    submission = Submission(a_call(), LARGE)
    parts.journal.healthy = False
    (answer,) = await parts.intake.take([submission])
    assert "disk is full" in answer.refusal
    with pytest.raises(NoSuchRequest):
        await parts.get(submission.call)


async def test_a_start_that_cannot_be_recorded_takes_the_call_back(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = Submission(a_call(), LARGE)
    monkeypatch.setattr(parts.journal._chain, "write", _full)
    (answer,) = await parts.intake.take([submission])
    assert answer.refusal
    with pytest.raises(NoSuchRequest):
        await parts.get(submission.call)
    assert await parts.files.ids() == set()


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def test_a_start_that_a_crash_cut_off_is_written_then(parts: Parts) -> None:
    known, cut_off = a_call(), a_call()
    await parts.intake.take([Submission(known, b"[]")])
    await parts.keep(cut_off, LARGE)
    for _ in range(2):
        await parts.recover()
    assert parts.phases() == ["start", "start"]


async def test_an_end_that_a_crash_cut_off_is_written_then_and_seen(parts: Parts) -> None:
    call = a_call()
    await parts.intake.take([Submission(call, b"[]")])
    await parts.settle(call)
    for _ in range(2):
        await parts.recover()
    assert parts.phases() == ["start", "end"]
    assert (await parts.get(call)).state == "recorded"


async def test_an_end_that_is_on_record_is_not_written_again(parts: Parts) -> None:
    call = a_call()
    await parts.keep(call)
    await parts.journal.write(start_record(call), start_payload(call, b"[]"))
    await parts.settle(call)
    await parts.journal.write(end_record(call, DONE.outcome), end_payload(call, DONE.outcome, b"[]"))
    await parts.recover()
    assert parts.phases() == ["start", "end"]
    assert (await parts.get(call)).state == "recorded"


async def test_starts_of_jobs_are_left_open_when_the_journal_is_opened_again(parts: Parts) -> None:
    await parts.intake.take([Submission(a_call(), b"[]")])
    await asyncio.to_thread(parts.journal.close)
    parts.journal = JournalWriter(parts.journals / WRITER, WRITER, segment_bytes=2**20)
    assert parts.phases() == ["start"]


async def test_files_that_nobody_knows_are_removed(parts: Parts) -> None:
    call = a_call()
    await parts.keep(call, LARGE)
    await parts.files.keep_inputs([("unknown", LARGE)])
    await parts.recover()
    assert await parts.files.ids() == {call.request_id}


async def test_the_second_outcome_of_a_call_leaves_no_trace(parts: Parts) -> None:
    call = a_call()
    await parts.intake.take([Submission(call, b"[]")])
    answers = [Answer(Outcome(result_type=kind), kind.encode() * 50_000) for kind in ("text", "json")]
    await asyncio.gather(*(parts.runs.settle(call, answer) for answer in answers))
    assert parts.phases() == ["start", "end"]
    outcome = (await parts.get(call)).outcome
    assert outcome is not None
    assert await parts.files.result(outcome.result_file) == outcome.result_type.encode() * 50_000


async def test_what_was_kept_for_long_enough_is_forgotten(parts: Parts) -> None:
    call = a_call()
    await parts.intake.take([Submission(call, LARGE)])
    await parts.runs.settle(call, Answer(Outcome(result_type="json"), LARGE))
    await Retention(parts.store, parts.files, parts.runs, 3600.0).sweep()
    kept = (await parts.get(call)).outcome
    assert kept is not None
    assert await parts.files.result(kept.result_file) == LARGE
    await Retention(parts.store, parts.files, parts.runs, -1.0).sweep()
    with pytest.raises(NoSuchRequest):
        await parts.get(call)
    assert await parts.files.ids() == set()


async def test_a_call_that_never_ran_is_given_up_in_the_end(parts: Parts) -> None:
    call = a_call()
    await parts.intake.take([Submission(call, b"[]")])
    retention = Retention(parts.store, parts.files, parts.runs, -1.0)
    await retention._give_up(2e10)
    given_up = await parts.get(call)
    assert given_up.outcome is not None
    assert given_up.outcome.failure is not None
    assert (given_up.state, given_up.outcome.status, given_up.outcome.failure.error_type) == (
        "recorded",
        504,
        "TimeoutError",
    )


async def test_a_batch_writes_what_waits_at_once_and_answers_each() -> None:
    written: list[list[int]] = []

    async def write(items: Sequence[int]) -> list[int]:
        written.append(list(items))
        await asyncio.sleep(0)
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]

    batch = Batch(write)
    assert await asyncio.gather(*map(batch.add, range(10))) == [2 * item for item in range(10)]
    assert len(written) < 3
    with pytest.raises(ValueError, match="13"):
        await batch.add(13)
    assert await batch.add(1) == 2


async def test_room_is_kept_for_each_version_and_in_all() -> None:
    room, inside, most = Room(3), {"a": 0, "b": 0}, {"a": 0, "b": 0, "all": 0}

    async def enter(version: str) -> None:
        async with room.inside(version, 2):
            inside[version] += 1
            most[version] = max(most[version], inside[version])
            most["all"] = max(most["all"], sum(inside.values()))
            await asyncio.sleep(0.001)
            inside[version] -= 1

    await asyncio.gather(*(enter(version) for version in "ab" * 10))
    assert most == {"a": 2, "b": 2, "all": 3}
