"""Runs asynchronous calls: the handler of their jobs. The first outcome that is kept is the only one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from slipway.control.asynchronous.batch import Batch
from slipway.control.asynchronous.files import RequestFiles
from slipway.control.asynchronous.gateways import Answer, Gateways
from slipway.control.asynchronous.intake import Intake
from slipway.control.asynchronous.records import end_payload, end_record
from slipway.control.asynchronous.room import Room
from slipway.control.jobs import Verdict
from slipway.errors import CapacityError, NoSuchRequest, NoSuchVersion, SlipwayError
from slipway.journal.writer import JournalWriter
from slipway.registry import jobs, requests
from slipway.registry.requests import Request, Settlement
from slipway.registry.store import Store
from slipway.types import AlgorithmFailure, AsyncCall, Job, Outcome

_RETRY_SECONDS = 1.0
_MOST_TRIES = 3  # of a call whose worker ends suddenly: killed by somebody, or by the call itself

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Runs:
    """From a claimed job to an outcome that may be seen."""

    def __init__(
        self,
        store: Store,
        journal: JournalWriter,
        files: RequestFiles,
        gateways: Gateways,
        intake: Intake,
        at_once: int,
    ) -> None:
        self._store, self._journal, self._files = store, journal, files
        self._gateways, self._intake = gateways, intake
        self._room = Room(at_once)
        self._loading: Batch[str, tuple[Request | None, bool]] = Batch(self._load_all)
        self._settlements: Batch[Settlement, bool] = Batch(self._settle_all)
        self._recorded: Batch[str, None] = Batch(self._mark_all)

    async def run(self, job: Job) -> Verdict:
        """The job's handler. Safe to run again after a crash at any point."""
        request, deployed = await self._loading.add(job.idempotency_key)
        if request is None or request.state != "pending":
            await self._end_job(job.idempotency_key)
            return Verdict.ENDED
        if not await self._intake.started(request.call.request_id):
            return Verdict.ENDED
        answer: Answer | None = _deleted(request.call)
        if deployed:
            async with self._room.inside(request.call.version_id, request.call.at_once):
                answer = await self._answer(request)
        if answer is None:
            return Verdict.POSTPONED
        if answer.is_sudden and jobs.tries(job) < _MOST_TRIES:
            raise CapacityError("the worker was lost: the call is tried again")
        await self.settle(request.call, answer)
        return Verdict.ENDED

    async def settle(self, call: AsyncCall, answer: Answer) -> None:
        """Keep the outcome unless there is one, put it on record, and let it be seen."""
        name = await _insist(lambda: self._files.keep_result(call.request_id, answer.result))
        outcome, inline = replace(answer.outcome, result_file=name), None if name else answer.result
        settlement = Settlement(request_id=call.request_id, outcome=outcome, result=inline)
        if await _insist(lambda: self._settlements.add(settlement)):
            await self.record(call, answer.outcome, answer.result)

    async def record(self, call: AsyncCall, outcome: Outcome, result: bytes) -> None:
        """Put the end of a settled call on record, however long the disk is full, and let it be seen."""
        await _insist(lambda: self._journal.write(end_record(call, outcome), end_payload(call, outcome, result)))
        await self.mark_recorded(call.request_id)

    async def mark_recorded(self, request_id: str) -> None:
        """Let the outcome of a call whose end is on record be seen."""
        await _insist(lambda: self._recorded.add(request_id))

    async def _load_all(self, ids: Sequence[str]) -> list[tuple[Request | None, bool]]:
        """Each call with its input, and whether its version is still there."""
        async with self._store.read() as connection:
            found = await requests.load(connection, ids)
        return [found.get(one, (None, False)) for one in ids]

    async def _answer(self, request: Request) -> Answer | None:
        body = request.input
        if body is None:
            try:
                body = await self._files.input(request.call.request_id)
            except NoSuchRequest as error:
                return refused(error)
        return await self._gateways.run(request.call, body)

    async def _settle_all(self, settlements: Sequence[Settlement]) -> list[bool]:
        async with self._store.begin() as connection:
            first = await requests.settle(connection, settlements)
        answers = []
        for one in settlements:
            answers.append(one.request_id in first)
            first.discard(one.request_id)  # the same call may stand here twice
        return answers

    async def _mark_all(self, ids: Sequence[str]) -> list[None]:
        async with self._store.begin() as connection:
            await requests.mark_recorded(connection, ids)
        return [None] * len(ids)

    async def _end_job(self, request_id: str) -> None:
        async with self._store.begin() as connection:
            await requests.end_jobs(connection, [request_id])


def refused(error: SlipwayError) -> Answer:
    """The outcome of a call that the platform could not run."""
    failure = AlgorithmFailure(error_type=error.error_type, message=str(error))
    return Answer(Outcome(status=error.status, failure=failure), b"")


def _deleted(call: AsyncCall) -> Answer:
    return refused(NoSuchVersion(f"{call.algorithm} was deleted, or its version {call.version}, before the call ran"))


async def _insist(attempt: Callable[[], Awaitable[T]]) -> T:
    """What is known must not be lost to a full disk or a busy store: try until it is kept."""
    while True:
        try:
            return await attempt()
        except (CapacityError, OSError) as error:
            logger.error("the outcome of an asynchronous call cannot be kept yet: %s", error)
        await asyncio.sleep(_RETRY_SECONDS)
