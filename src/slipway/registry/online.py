"""Copies of a store that is in use, as one SQLite file, whatever the store is."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from slipway.registry.copying import Contents, contents, copy_all, row_counts
from slipway.registry.engine import create_private, parse_url, sqlite_file
from slipway.registry.store import Store


async def snapshot(url: str, file: Path) -> None:
    """Write one state of the store to a new SQLite file, mode 0600, while others use it.

    SQLite's own online backup copies its file; PostgreSQL is read in one REPEATABLE READ transaction, so that no
    program of its is needed. Raises StartupError where the store cannot be opened, sqlite3.Error, SlipwayError.
    """
    create_private(file)
    own = sqlite_file(parse_url(url))
    if own is None:
        await copy_store(url, f"sqlite:///{file}")
    else:
        await asyncio.to_thread(copy_database, own, file)
    await asyncio.to_thread(_into_one_file, file)


async def copy_store(source_url: str, target_url: str) -> Contents:
    """Every row of one store into another in one transaction; what that holds then. Raises StartupError, SlipwayError.

    Both are brought to this program's schema first.
    """
    source, target = await Store.open(source_url), await Store.open(target_url)
    try:
        async with source.read() as rows, target.begin() as connection:
            return await copy_all(rows, connection)
    finally:
        await source.close()
        await target.close()


async def is_empty(url: str, scratch: Path) -> bool:
    """Whether a store, which is made if need be, holds nothing but what every new one does. `scratch` is a directory.

    Raises StartupError.
    """
    return await _counted(url) == await _counted(f"sqlite:///{scratch / 'empty.db'}")


async def holds_the_same(url: str, other_url: str) -> bool:
    """Whether two stores hold the same rows. Raises StartupError."""
    found = []
    for one in (url, other_url):
        store = await Store.open(one)
        async with store.read() as connection:
            found.append(await contents(connection))
        await store.close()
    return found[0] == found[1]


def copy_database(source: Path, target: Path) -> None:
    """SQLite's online backup: one state of a database that others may write to. Raises sqlite3.Error."""
    with contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True)) as rows:
        with contextlib.closing(sqlite3.connect(target)) as copy:
            rows.backup(copy)


def _into_one_file(file: Path) -> None:
    """Nothing of it stays in a log beside it."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode = DELETE")


async def _counted(url: str) -> dict[str, int]:
    store = await Store.open(url)
    try:
        async with store.read() as connection:
            return await row_counts(connection)
    finally:
        await store.close()
