"""The observer process: follows the journals at idle priority. It may lag, it may restart, it loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from slipway.journal.reader import Cursor, read_from, writers
from slipway.observe.usage import UsageStore
from slipway.settings import Settings

_PAUSE_SECONDS = 0.5
_FRAMES = 2000


def usage_path(settings: Settings) -> Path:
    """Where the observer keeps its rollups."""
    return settings.root / "observer" / "usage.db"


async def run(settings: Settings) -> None:
    """Count until SIGTERM."""
    _lower_priority()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    store = UsageStore(usage_path(settings))
    while not stopping.is_set():
        busy = step(settings.journal_directory, store)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 0.01 if busy else _PAUSE_SECONDS)
    store.close()


def step(directory: Path, store: UsageStore) -> bool:
    """Count some of what is new; whether there was any."""
    cursors = store.cursors()
    busy = False
    for writer in writers(directory):
        before = cursors.get(writer, Cursor())
        entries, after = read_from(directory, writer, before, _FRAMES)
        if after != before:
            store.add(writer, entries, after)
            busy = True
    return busy


def _lower_priority() -> None:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
