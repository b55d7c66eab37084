"""One tool at a time on a data directory, and a record of what it did."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterator

from slipway.errors import DataDirectoryInUse
from slipway.journal.pruning import TOOLS
from slipway.journal.records import new_event
from slipway.journal.writer import JournalWriter
from slipway.settings import Settings

_SEGMENT_BYTES = 2**20


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Keep other backups and clearings away; the platform may run. Raises DataDirectoryInUse."""
    settings.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(settings.run_directory / "operations.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DataDirectoryInUse(
            f"a backup or clearing is under way on {settings.root}: try again when it is done"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


async def note(settings: Settings, verb: str, resource: str, /, **detail: str) -> None:
    """Record in the journal what was done; on disk when this returns. Raises StartupError, DiskFull."""
    journal = JournalWriter(settings.journal_directory / TOOLS, TOOLS, segment_bytes=_SEGMENT_BYTES)
    journal.start(asyncio.get_running_loop())
    try:
        await journal.write(new_event("operator", verb, resource, "done", detail))
    finally:
        await asyncio.to_thread(journal.close)
