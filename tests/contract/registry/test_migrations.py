"""A migrated store is what the schema says, and one from the future is left alone."""

from __future__ import annotations

import asyncio

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from slipway.errors import NewerFormat
from slipway.registry import accounts, algorithms, jobs, migrate, schema
from slipway.registry.engine import parse_url
from slipway.registry.store import Store

Description = dict[str, list[str]]


async def test_a_migrated_store_equals_a_fresh_one(store: Store) -> None:
    async with store.begin() as connection:
        assert await connection.run_sync(_differences) == []
        migrated = await connection.run_sync(_describe)
        await connection.run_sync(schema.metadata.drop_all)
        await connection.run_sync(schema.metadata.create_all)
        assert await connection.run_sync(_describe) == migrated


async def test_opening_a_store_again_keeps_what_is_in_it(store: Store, store_url: str) -> None:
    async with store.begin() as connection:
        account = await accounts.create(connection, name="jpublic")
    again = await Store.open(store_url)
    async with again.read() as connection:
        assert await accounts.get(connection, "jpublic") == account
    await again.close()


async def test_several_processes_may_open_a_new_store_at_once(store_url: str) -> None:
    stores = await asyncio.gather(*(Store.open(store_url) for _ in range(4)))
    async with stores[0].begin() as connection:
        await accounts.create(connection, name="jpublic")
    assert [await store.revision() for store in stores] == [1] * 4
    for store in stores:
        await store.close()


async def test_a_store_of_the_first_schema_keeps_its_rows_and_equals_a_fresh_one(store_url: str) -> None:
    engine = create_async_engine(parse_url(store_url))
    async with engine.begin() as connection:
        await connection.run_sync(_make_first)
        await connection.execute(text("INSERT INTO accounts VALUES ('a', 'ann', 'user', '0', 'ann@example.com', 1.5)"))
        await connection.execute(
            text("INSERT INTO algorithms VALUES ('b', 'a', 'echo', 'Echo', '', '', '{\"open\": true}', 2.5)")
        )
        await connection.execute(
            text(
                "INSERT INTO jobs (id, kind, idempotency_key, state, payload, attempts, max_attempts, not_before,"
                " error, created_at) VALUES ('c', 'build', 'k', 'queued', '{\"build_id\":\"x\"}', 1, 3, 0, '', 3.5)"
            )
        )
    await engine.dispose()

    store = await Store.open(store_url)
    async with store.begin() as connection:
        account = await accounts.get(connection, "ann")
        algorithm = await algorithms.get(connection, "ann", "echo")
        job = await jobs.claim(connection, ["build"], 10.0)
        assert (account.email, account.created_at, account.admin) == ("ann@example.com", 1.5, False)
        assert (algorithm.label, algorithm.settings) == ("Echo", {"open": True})
        assert job is not None
        assert (job.id, job.payload, job.attempts) == ("c", {"build_id": "x"}, 2)
        assert await connection.run_sync(_differences) == []
        upgraded = await connection.run_sync(_describe)
        await connection.run_sync(schema.metadata.drop_all)
        await connection.run_sync(schema.metadata.create_all)
        assert await connection.run_sync(_describe) == upgraded
    await store.close()


async def test_a_store_of_a_newer_slipway_is_refused_unchanged(store_url: str) -> None:
    await (await Store.open(store_url)).close()
    engine = create_async_engine(parse_url(store_url))
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        await connection.execute(text("CREATE TABLE from_the_future (id INTEGER)"))
        before = await connection.run_sync(_describe)
    with pytest.raises(NewerFormat, match="9999"):
        await Store.open(store_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(_describe) == before
        version = await connection.execute(text("SELECT version_num FROM alembic_version"))
        assert version.scalar_one() == "9999"
    await engine.dispose()


def _make_first(connection: Connection) -> None:
    command.upgrade(migrate._config(connection), "0001")


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, schema.metadata))


def _describe(connection: Connection) -> Description:
    """Every table's columns, constraints and indexes, by name, as the database tells them."""
    inspector = inspect(connection)
    described: Description = {}
    for table in inspector.get_table_names():
        parts = [
            *(repr(sorted(map(repr, column.items()))) for column in inspector.get_columns(table)),
            *sorted(repr(sorted(map(repr, item.items()))) for item in inspector.get_indexes(table)),
            *sorted(repr(sorted(map(repr, item.items()))) for item in inspector.get_unique_constraints(table)),
            *sorted(repr(sorted(map(repr, item.items()))) for item in inspector.get_foreign_keys(table)),
            repr(inspector.get_pk_constraint(table)),
            repr(inspector.get_table_options(table)),
        ]
        described[table] = parts
    return described
