"""Takes asynchronous calls from the gateways: input on disk, job queued, start on record, and only then the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from slipway.control.asynchronous.files import RequestFiles
from slipway.control.asynchronous.records import start_payload, start_record
from slipway.errors import DiskFull, SlipwayError
from slipway.journal.writer import JournalWriter
from slipway.registry import requests
from slipway.registry.store import Store
from slipway.wire.handover import Submission, Taken

_FULL = "the platform's disk is full: the call cannot be kept"

logger = logging.getLogger(__name__)


class Intake:
    """Whoever asks twice for the same request id gets the same call."""

    def __init__(self, store: Store, journal: JournalWriter, files: RequestFiles, wake: Callable[[], None]) -> None:
        self._store, self._journal, self._files, self._wake = store, journal, files, wake
        self._starting: dict[str, asyncio.Future[set[str]]] = {}

    async def take(self, submissions: Sequence[Submission]) -> list[Taken]:
        """Keep calls; each is safe where the answer names no refusal. Raises SlipwayError: nothing is known of any."""
        if not self._journal.healthy:
            return [Taken(_FULL)] * len(submissions)
        ids = [submission.call.request_id for submission in submissions]
        starting = {self._starting[one] for one in ids if one in self._starting}
        if starting:  # a gateway that lost patience asks again, while its first request is still at work
            await asyncio.wait(starting)
        kept = await self._keep(submissions)
        return [Taken() if one in kept else Taken(_FULL) for one in ids]

    async def started(self, request_id: str) -> bool:
        """Whether a call's start is on record; waits for it where it is just being written."""
        starting = self._starting.get(request_id)
        return starting is None or request_id in await asyncio.shield(starting)

    async def _keep(self, submissions: Sequence[Submission]) -> set[str]:
        """The ids of those that are safe now."""
        ids = [submission.call.request_id for submission in submissions]
        starting: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
        self._starting.update(dict.fromkeys(ids, starting))
        try:
            kept = await self._write(submissions)
            starting.set_result(kept)
        except BaseException:
            # Cut off in the middle: whether they are kept is for recovery, or for who asks again, to see.
            starting.cancel()
            raise
        finally:
            for one in ids:
                self._starting.pop(one, None)
        return kept

    async def _write(self, submissions: Sequence[Submission]) -> set[str]:
        calls = {one.call.request_id: one for one in submissions}
        try:
            inputs = await self._files.keep_inputs([(one.call.request_id, one.body) for one in calls.values()])
            async with self._store.begin() as connection:
                rows = zip(calls.values(), inputs, strict=True)
                fresh = await requests.add(connection, [(one.call, data) for one, data in rows])
        except (SlipwayError, OSError) as error:
            logger.error("asynchronous calls cannot be kept: %s", error)
            return set()
        self._wake()
        begun = sorted(fresh)
        recorded = await asyncio.gather(*(self._record(calls[one]) for one in begun))
        failed = [one for one, good in zip(begun, recorded, strict=True) if not good]
        if failed:
            await self._undo(failed)
        return set(calls).difference(failed)

    async def _record(self, submission: Submission) -> bool:
        call = submission.call
        try:
            await self._journal.write(start_record(call), start_payload(call, submission.body))
        except DiskFull:
            return False
        return True

    async def _undo(self, ids: Sequence[str]) -> None:
        try:
            async with self._store.begin() as connection:
                await requests.remove(connection, ids)
            await self._files.remove(ids)
        except (SlipwayError, OSError) as error:
            logger.error("asynchronous calls that were refused may run all the same: %s", error)
