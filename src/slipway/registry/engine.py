"""Database engines: SQLite as the platform needs it, and PostgreSQL."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from slipway.errors import SettingsError

_BUSY_MILLISECONDS = 10_000
_WRITES = "slipway_writes"
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


def parse_url(text: str) -> URL:
    """A store's address with its asynchronous driver; raises SettingsError."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise SettingsError(
            "store_url is not a database address such as postgresql://USER:PASSWORD@HOST/NAME"
        ) from error
    driver = _DRIVERS.get(url.drivername, url.drivername)
    if driver not in _DRIVERS.values():
        raise SettingsError(f"store_url: {url.drivername} is not supported; use sqlite or postgresql")
    return url.set(drivername=driver)


def create_engine(url: URL) -> AsyncEngine:
    """An engine whose transactions are explicit on both databases. Raises SettingsError where the driver is missing."""
    if url.get_backend_name() == "sqlite":
        return _create_sqlite(url)
    try:
        return create_async_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=10)
    except ModuleNotFoundError as error:
        raise SettingsError(f"store_url needs the package {error.name}: pip install 'slipway[postgres]'") from error


def writing(engine: AsyncEngine) -> AsyncEngine:
    """The same engine for transactions that write."""
    return engine.execution_options(**{_WRITES: True})


def reading(engine: AsyncEngine) -> AsyncEngine:
    """The same engine for transactions that only read and see one state of the store throughout."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def sqlite_file(url: URL) -> Path | None:
    """The database's file; None for PostgreSQL and for databases in memory or with an address of their own."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def create_private(file: Path) -> None:
    """Make an empty database file that only its owner can read; SQLite gives its side files the same mode."""
    file.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))


def _create_sqlite(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=8, max_overflow=8)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: DBAPIConnection, _record: object) -> None:
    # The driver would begin transactions by itself, late and deferred: `_begin` does so instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails, at once, if another wrote in between.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
