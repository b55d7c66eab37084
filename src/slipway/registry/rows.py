"""What the query modules share: rows to records, and inserts that tell whether the row was there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")
_CHUNK = 1000  # bound parameters in one statement, far below either database's limit


async def fetch_all(connection: AsyncConnection, query: Select[Any], record: type[T]) -> list[T]:
    """One record a row; the query's columns are named as the record's fields."""
    result = await connection.execute(query)
    names = tuple(result.keys())
    return [record(**dict(zip(names, row, strict=True))) for row in result.fetchall()]


async def fetch_one(connection: AsyncConnection, query: Select[Any], record: type[T]) -> T | None:
    """The first row as a record."""
    row = (await connection.execute(query.limit(1))).first()
    return None if row is None else record(**row._mapping)


async def insert_new(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row; False where one of its unique values is taken, without failing the transaction."""
    build: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    key = next(iter(table.primary_key.columns))
    statement = build(table).values(**values).on_conflict_do_nothing().returning(key)
    return (await connection.execute(statement)).first() is not None


async def insert_all_new(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Insert those rows whose key, a text, is not taken; the keys of these."""
    build: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    key = next(iter(table.primary_key.columns))
    statement = build(table).on_conflict_do_nothing().returning(key)
    return set((await connection.execute(statement, list(rows))).scalars())


def chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Pieces small enough for one IN (…)."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
