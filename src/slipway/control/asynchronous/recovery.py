"""After a crash: every call that was kept has one start on record, and every call with an outcome one end."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from slipway.control.asynchronous.files import RequestFiles
from slipway.control.asynchronous.records import WRITER, start_payload, start_record
from slipway.control.asynchronous.runs import Runs
from slipway.errors import SlipwayError
from slipway.ids import id_text
from slipway.journal.reader import read_writer
from slipway.journal.records import CallRecord
from slipway.journal.writer import JournalWriter
from slipway.registry import requests
from slipway.registry.requests import Request
from slipway.registry.store import Store
from slipway.types import Outcome

_LAST_MOMENTS_SECONDS = 60.0  # before the newest call that is known: what a crash cut off was begun by then

logger = logging.getLogger(__name__)


class Recovery:
    """Compares store and journal as the last process left them."""

    def __init__(self, store: Store, directory: Path, journal: JournalWriter, files: RequestFiles) -> None:
        self._store, self._directory, self._journal, self._files = store, directory, journal, files
        self._unmarked: list[Request] = []  # their end is on record, which nobody noted
        self._open: list[Request] = []  # they have an outcome, and no end

    async def begin(self) -> None:
        """Before any call is taken or run: write the starts that are missing, and see which ends are."""
        await self._remove_strays()
        async with self._store.read() as connection:
            newest = await requests.in_state(connection, "pending", limit=1)
            since = newest[0].created_at - _LAST_MOMENTS_SECONDS if newest else 0.0
            pending = await requests.in_state(connection, "pending", since) if newest else []
            settled = await requests.in_state(connection, "settled")
        if not pending and not settled:
            return
        oldest = min(request.finished_at or request.created_at for request in [*pending, *settled])
        started, ended = await asyncio.to_thread(_on_record, self._directory, oldest - 1.0)
        for request in pending:
            if request.call.request_id not in started:
                await self._write_start(request)
        self._unmarked = [request for request in settled if request.call.request_id in ended]
        self._open = [request for request in settled if request.call.request_id not in ended]

    async def finish(self, runs: Runs) -> None:
        """Beside everything else: write the ends that are missing, however long the disk is full."""
        for request in self._unmarked:
            await runs.mark_recorded(request.call.request_id)
        for request in self._open:
            assert request.outcome is not None
            result = await self._result(request.call.request_id, request.outcome)
            await runs.record(request.call, request.outcome, result)

    async def _write_start(self, request: Request) -> None:
        identity = request.call.request_id
        try:
            async with self._store.read() as connection:
                body = (await requests.get(connection, identity)).input
            if body is None:
                body = await self._files.input(identity)
            await self._journal.write(start_record(request.call), start_payload(request.call, body))
        except SlipwayError as error:
            logger.error("the start of request %s cannot be put on record: %s", identity, error)

    async def _result(self, request_id: str, outcome: Outcome) -> bytes:
        if outcome.result_file:
            return await self._files.result(outcome.result_file)
        async with self._store.read() as connection:
            return (await requests.get(connection, request_id)).result or b""

    async def _remove_strays(self) -> None:
        """Files of calls that were never kept, or were forgotten just before the crash."""
        found = sorted(await self._files.ids())
        async with self._store.read() as connection:
            known = await requests.known(connection, found)
        await self._files.remove([one for one in found if one not in known])


def _on_record(directory: Path, since: float) -> tuple[set[str], set[str]]:
    """Request ids of the starts and of the ends from that time on."""
    started: set[str] = set()
    ended: set[str] = set()
    for entry in read_writer(directory, WRITER, since):
        if isinstance(entry.record, CallRecord):
            phases = started if entry.record.phase == "start" else ended
            phases.add(id_text(entry.record.call_id))
    return started, ended
