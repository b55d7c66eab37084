"""The store's door: opening, transactions, and waiting for changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from slipway.errors import DataDirectoryUnusable
from slipway.registry import changes, failures, schema
from slipway.registry.engine import create_engine, create_private, parse_url, reading, sqlite_file, writing
from slipway.registry.migrate import migrate, pending

# How soon a commit of another process is seen; one of this process is seen at once. Several controls may write one
# PostgreSQL store; beside the one control of a SQLite store only tools do, and a look costs 1 ms of CPU.
_POLL_SECONDS = {"postgresql": 0.05, "sqlite": 0.5}


class Store:
    """Accounts, keys, algorithms, versions, builds, environments, routes and jobs, in SQLite or PostgreSQL.

    The query functions of this package take the connection that `begin` or `read` yields.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = writing(engine)
        self._reading = reading(engine)
        # SQLite has one writer at a time: its tasks queue here in order, in place of sleeping in the busy handler.
        self._turn: AbstractAsyncContextManager[None] = (
            asyncio.Lock() if engine.dialect.name == "sqlite" else nullcontext()
        )
        self._writers: set[asyncio.Task[Any] | None] = set()
        self._poll_seconds = _POLL_SECONDS[engine.dialect.name]
        self._committed = asyncio.Event()

    @classmethod
    async def open(cls, url: str) -> Store:
        """Open a store, made or migrated if need be.

        Raises NewerFormat (nothing was changed), DataDirectoryUnusable, DataDirectoryInUse or SettingsError.
        """
        address = parse_url(url)
        engine = create_engine(address)
        store = cls(engine)
        try:
            with failures.opening(address):
                if (file := sqlite_file(address)) is not None:
                    create_private(file)
                await store._prepare()
        except BaseException:
            await store.close()
            raise
        return store

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes: committed at the end, rolled back on any exception.

        Keep it short: nothing slow (files, network, processes) belongs inside.
        """
        with self._not_nested(), failures.serving():
            async with self._turn, self._writing.begin() as connection:
                changes.start(connection)
                yield connection
                await changes.flush(connection)
        self._wake()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads and sees one state of the store throughout."""
        with failures.serving():
            async with self._reading.connect() as connection:
                yield connection

    async def revision(self) -> int:
        """The revision of the last committed change."""
        async with self.read() as connection:
            return await changes.current(connection)

    async def wait_for_change(self, after_revision: int, timeout: float) -> int:
        """The store's revision once it is above `after_revision`, or whatever it is after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            # Taken before reading, so that a commit in between is not missed.
            committed = self._committed
            revision = await self.revision()
            left = deadline - loop.time()
            if revision > after_revision or left <= 0:
                return revision
            await _wait(committed, min(left, self._poll_seconds))

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def _prepare(self) -> None:
        async with self._engine.connect() as connection:
            behind = await connection.run_sync(pending)
        if self._engine.dialect.name == "sqlite":
            await self._prepare_sqlite()
        async with self._writing.connect() as connection:
            if behind:
                await connection.run_sync(migrate)
                await connection.commit()
            else:
                # A lock, a wrong mode or a full disk shows now, not in the first request; nothing is kept of it.
                await connection.execute(update(schema.revision).values(value=schema.revision.c.value))

    async def _prepare_sqlite(self) -> None:
        async with self._engine.connect() as connection:
            damage = (await connection.exec_driver_sql("PRAGMA quick_check(1)")).scalar_one()
            if damage != "ok":
                raise DataDirectoryUnusable(f"the store is damaged ({damage}): restore it from a backup")
        async with self._engine.connect() as connection:
            await connection.run_sync(_use_write_ahead_log)

    @contextmanager
    def _not_nested(self) -> Iterator[None]:
        # A second writing transaction in the same task would wait for the first one, for ever.
        task = asyncio.current_task()
        if task in self._writers:
            raise RuntimeError("this task is in a writing transaction already: hand its connection on")
        self._writers.add(task)
        try:
            yield
        finally:
            self._writers.discard(task)

    def _wake(self) -> None:
        self._committed.set()
        self._committed = asyncio.Event()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _use_write_ahead_log(connection: Connection) -> None:
    # A property of the file; it can be changed outside transactions only.
    connection.exec_driver_sql("ROLLBACK")
    connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    connection.exec_driver_sql("BEGIN")
