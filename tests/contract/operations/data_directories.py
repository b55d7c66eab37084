"""A data directory as a platform leaves it, without the processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from slipway.ids import new_id
from slipway.journal.checkpoints import CHECKPOINTS, Checkpointer
from slipway.journal.records import new_event
from slipway.journal.writer import JournalWriter
from slipway.registry import accounts, algorithms, environments, versions
from slipway.registry.store import Store
from slipway.release.source import Sources
from slipway.settings import Settings
from tests.contract.registry.factories import a_version, an_environment


async def make(data: Path, hosted_bytes: int = 1000) -> Settings:
    """One account with an algorithm, a version, hosted data and a signed ledger."""
    settings = Settings(data=str(data))
    data.mkdir()
    store = await Store.open(settings.store)
    await _fill(store, settings)
    await store.close()
    sources = Sources(settings.git_directory)
    await sources.create("ann", "echo")
    hosted = settings.files_directory / "ann" / "models" / "weights.lock"
    hosted.parent.mkdir(parents=True)
    hosted.write_bytes(b"w" * hosted_bytes)
    (data / "secrets.key").write_text("master")
    (data / "secrets.key").chmod(0o600)
    await _write_journals(settings)
    return settings


async def _fill(store: Store, settings: Settings) -> None:
    async with store.begin() as connection:
        account = await accounts.create(connection, name="ann")
        algorithm = await algorithms.create(connection, account=account, name="echo")
        environment = an_environment()
        python = settings.environments_directory / environment.digest / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to("/bin/sh")
        await environments.add(connection, an_environment())
        version_id = new_id()
        directory = settings.versions_directory / version_id
        (directory / "src").mkdir(parents=True)
        (directory / "src" / "echo.py").write_text("def apply(input):\n    return input\n")
        directory.chmod(0o555)
        await versions.add(connection, a_version(algorithm, id=version_id, directory=str(directory)))


async def _write_journals(settings: Settings) -> None:
    for name in ("control", CHECKPOINTS):
        journal = JournalWriter(settings.journal_directory / name, name, segment_bytes=2**20)
        journal.start(asyncio.get_running_loop())
        if name == CHECKPOINTS:
            event = Checkpointer(settings.journal_directory, settings.root / "ledger.key").step()
            assert event is not None
        else:
            event = new_event("ann", "algorithm.create", "ann/echo", "done", {})
        await journal.write(event)
        await asyncio.to_thread(journal.close)
