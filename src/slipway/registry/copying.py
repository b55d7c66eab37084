"""All of a store's rows, from one database into another, compared afterwards; and the paths that stand in them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import MetaData, Table, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import SlipwayError
from slipway.registry import schema
from slipway.registry.columns import Json

_ROWS = 500  # read and written at a time
# Where the store names files of the data directory by their absolute path.
_PATHS = ((schema.versions, "directory"), (schema.environments, "interpreter"))


class Content(msgspec.Struct, frozen=True):
    """What one table holds: the digest is the same on both databases, whatever the order of the rows."""

    rows: int
    digest: str  # hexadecimal


Contents = dict[str, Content]  # by table


async def copy_all(source: AsyncConnection, target: AsyncConnection) -> Contents:
    """Put every row of one store into another, whose own rows go. Both are of this program's schema.

    Runs in the transactions of its connections. Raises SlipwayError where the target holds something else afterwards.
    """
    tables = _tables()
    for table in reversed(tables):
        await target.execute(delete(table))
    copied = {table.name: await _copy(table, source, target) for table in tables}
    for name, content in (await contents(target)).items():
        if content != copied[name]:
            raise SlipwayError(f"the table {name} is not what was copied: {content.rows} of {copied[name].rows} rows")
    return copied


async def contents(connection: AsyncConnection) -> Contents:
    """What every table holds."""
    return {table.name: await _content(table, connection) for table in _tables()}


async def row_counts(connection: AsyncConnection) -> dict[str, int]:
    """How many rows every table has."""
    counted = {}
    for table in schema.metadata.sorted_tables:
        counted[table.name] = int((await connection.execute(select(func.count()).select_from(table))).scalar_one())
    return counted


async def relocate(connection: AsyncConnection, old: str, new: str) -> None:
    """Write paths below the directory `old` as paths below `new`."""
    head = f"{old.rstrip('/')}/"
    for table, name in _PATHS:
        column = table.c[name]
        moved = f"{new.rstrip('/')}/" + func.substr(column, len(head) + 1)
        below = func.substr(column, 1, len(head)) == head
        await connection.execute(update(table).where(below).values({name: moved}))


def _tables() -> list[Table]:
    """The tables, those that others refer to first, with JSON as it is in place of the records made of it."""
    plain = MetaData()
    for table in schema.metadata.sorted_tables:
        copy = table.to_metadata(plain)
        for column in copy.columns:
            if isinstance(column.type, Json):
                column.type = Json(Any)
    return plain.sorted_tables


async def _copy(table: Table, source: AsyncConnection, target: AsyncConnection) -> Content:
    total = _Total()
    async with source.stream(select(table)) as rows:
        async for some in rows.mappings().partitions(_ROWS):
            values = [dict(row) for row in some]
            for row in values:
                total.add(row)
            await target.execute(insert(table), values)
    return total.content()


async def _content(table: Table, connection: AsyncConnection) -> Content:
    total = _Total()
    async with connection.stream(select(table)) as rows:
        async for some in rows.mappings().partitions(_ROWS):
            for row in some:
                total.add(dict(row))
    return total.content()


class _Total:
    """The sum of the digests of rows: PostgreSQL and SQLite do not sort text alike."""

    def __init__(self) -> None:
        self._rows, self._sum = 0, 0

    def add(self, row: dict[str, Any]) -> None:
        self._rows += 1
        digest = hashlib.sha256(msgspec.json.encode(row, order="sorted")).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % 2**256

    def content(self) -> Content:
        return Content(self._rows, f"{self._sum:064x}")
