"""Which files a copy of a store needs: the directories and repositories that its rows name, and its schema."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import msgspec

_INPUTS = "SELECT id FROM requests WHERE state = 'pending' AND input IS NULL"


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What a store of any known schema names."""

    schema: str
    versions: list[str]  # directories' names
    environments: list[str]  # digests
    algorithms: list[str]  # owner/name
    inputs: list[str]  # ids of asynchronous calls whose input lies in a file and is still needed


def read(file: Path) -> Names:
    """What the store in a SQLite file names, which is not changed. Raises sqlite3.Error."""
    with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:

        def texts(query: str) -> list[str]:
            return [str(row[0]) for row in database.execute(query)]

        tables = set(texts("SELECT name FROM sqlite_master WHERE type = 'table'"))
        (schema,) = texts("SELECT version_num FROM alembic_version")
        return Names(
            schema=schema,
            versions=[Path(directory).name for directory in texts("SELECT directory FROM versions")],
            environments=texts("SELECT DISTINCT environment FROM versions"),
            algorithms=texts(
                "SELECT accounts.name || '/' || algorithms.name FROM algorithms"
                " JOIN accounts ON accounts.id = algorithms.account_id"
            ),
            inputs=texts(_INPUTS) if "requests" in tables else [],
        )
