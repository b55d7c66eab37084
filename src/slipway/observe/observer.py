"""The observer process: follows the journals at idle priority. It may lag, it may restart, it loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from slipway.journal.reader import Cursor, read_from, writers
from slipway.observe.usage import UsageStore
from slipway.settings import Settings

_PAUSE_SECONDS = 0.5
_FRAMES = 2000  # counted in one transaction
_PLENTY = 1000  # entries; a step that met fewer has caught up, and is not repeated for the few that came meanwhile

logger = logging.getLogger(__name__)


def usage_path(settings: Settings) -> Path:
    """Where the observer keeps its rollups."""
    return settings.root / "observer" / "usage.db"


async def run(settings: Settings) -> None:
    """Count until SIGTERM."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    _lower_priority()  # from here on it may wait long for each step
    store = UsageStore(usage_path(settings))
    while not stopping.is_set():
        counted = _try_step(settings.journal_directory, store)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 0.001 if counted >= _PLENTY else _PAUSE_SECONDS)
    store.close()


def step(directory: Path, store: UsageStore) -> int:
    """Count some of what is new; how many entries these were, at least 1 while there are any. Raises sqlite3.Error."""
    cursors = store.cursors()
    counted = 0
    for writer in writers(directory):
        before = cursors.get(writer, Cursor())
        entries, after = read_from(directory, writer, before, _FRAMES)
        if after != before:
            store.add(writer, entries, after)
            counted += max(1, len(entries))
    return counted


def lag_seconds(directory: Path, cursors: Mapping[str, Cursor]) -> float:
    """The age of the oldest record that lies behind the cursors; 0 where all is counted."""
    oldest = now = time.time()
    for writer in writers(directory):
        entries, _ = read_from(directory, writer, cursors.get(writer, Cursor()), limit=1)
        oldest = min([oldest, *(entry.record.time for entry in entries)])
    return now - oldest


def _try_step(directory: Path, store: UsageStore) -> int:
    try:
        return step(directory, store)
    except sqlite3.OperationalError as error:  # a full disk: nothing was counted, so that it can wait
        logger.error("usage cannot be counted: %s", error)
        return 0


def _lower_priority() -> None:
    with contextlib.suppress(OSError):
        os.nice(19)  # also lowers the priority of reads from disk
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
