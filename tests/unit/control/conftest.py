"""What the tests of this folder share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slipway.control.context import Context
from slipway.journal.writer import JournalWriter
from slipway.registry.files import Files
from slipway.registry.store import Store
from slipway.release.build import Builds
from slipway.release.hosts import Hosts
from slipway.settings import Settings


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await Store.open(f"sqlite+aiosqlite:///{tmp_path / 'store.db'}")
    yield opened
    await opened.close()


@pytest.fixture
async def context(store: Store, tmp_path: Path) -> AsyncIterator[Context]:
    """All parts of control, in this process and with nothing running."""
    settings = Settings(data=str(tmp_path))
    journal = JournalWriter(settings.journal_directory / "control", "control", segment_bytes=64 * 1024)
    journal.start(asyncio.get_running_loop())
    hosts = Hosts(settings.host_socket)
    builds = Builds(store, settings, hosts, lambda _: None)
    yield Context(settings, store, journal, hosts, builds, Files(settings.files_directory), lambda: None)
    journal.close()
