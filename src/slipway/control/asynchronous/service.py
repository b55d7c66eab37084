"""Asynchronous calls as the control process has them: the parts, wired."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from slipway.control.asynchronous.files import RequestFiles
from slipway.control.asynchronous.gateways import Gateways
from slipway.control.asynchronous.intake import Intake
from slipway.control.asynchronous.records import WRITER
from slipway.control.asynchronous.recovery import Recovery
from slipway.control.asynchronous.retention import Retention
from slipway.control.asynchronous.runs import Runs
from slipway.control.jobs import JobRunner
from slipway.journal.writer import JournalWriter
from slipway.registry.requests import AHEAD, JOB_KIND
from slipway.registry.store import Store
from slipway.settings import Settings

_SEGMENT_BYTES = 8 * 2**20  # small: the last one is read at each start


class AsyncCalls:
    """Opening reads what a crash has left. Raises what opening a journal does."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._journal = JournalWriter(
            settings.journal_directory / WRITER,
            WRITER,
            segment_bytes=min(_SEGMENT_BYTES, settings.journal_segment_bytes),
            payload_policy=settings.payload_policy,
            payload_limit_bytes=settings.payload_limit_bytes,
            payload_sample_rate=settings.payload_sample_rate,
        )
        self._journal.start(asyncio.get_running_loop())
        files = RequestFiles(settings.requests_directory)
        self._gateways = Gateways(settings)
        self.intake = Intake(store, self._journal, files, lambda: self._runner.wake())
        at_once = settings.async_concurrency
        self._runs = Runs(store, self._journal, files, self._gateways, self.intake, at_once)
        self._runner = JobRunner(store, {JOB_KIND: self._runs.run}, at_once * AHEAD)
        self._recovery = Recovery(store, settings.journal_directory, self._journal, files)
        self._retention = Retention(store, files, self._runs, settings.request_retention_seconds)

    async def recover(self) -> None:
        """Before calls are taken."""
        await self._recovery.begin()

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the servers, until it is cancelled."""
        return [self._run(), self._retention.run(), self._recovery.finish(self._runs)]

    async def close(self) -> None:
        """Let go of the gateways and the journal."""
        self._gateways.close()
        await asyncio.to_thread(self._journal.close)

    async def _run(self) -> None:
        with contextlib.closing(self._gateways):
            await self._runner.run()
