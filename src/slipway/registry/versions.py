"""Versions: built commits. Immutable but for their publication."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, exists, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import AlreadyExists, AlreadyPublished, BadMarker, InputError, NoSuchVersion
from slipway.registry import changes, schema
from slipway.registry.rows import fetch_all, fetch_one
from slipway.types import Callability, Version

_table = schema.versions
_COLUMNS: Final = frozenset(column.name for column in _table.columns)
_PUBLICATION: Final = ("semantic_version", "callability", "release_notes", "sample_input", "sample_output")


def selection() -> Select[Any]:
    """All columns of types.Version, with what it takes from its algorithm, account and environment."""
    joined = _table.join(schema.algorithms).join(schema.accounts).join(schema.environments)
    return select(
        _table,
        schema.algorithms.c.name.label("algorithm"),
        schema.accounts.c.name.label("owner"),
        schema.environments.c.interpreter,
        schema.environments.c.trusted,
        _has_secrets().label("secrets"),
    ).select_from(joined)


async def add(connection: AsyncConnection, version: Version) -> Version:
    """Keep a built version.

    Its `owner`, `algorithm`, `interpreter` and `trusted` are those of its algorithm and environment, which must be in
    the store (InputError); the version as it will be read is returned.
    """
    await add_all(connection, [version])
    return await by_id(connection, version.id)


async def add_all(connection: AsyncConnection, versions: list[Version]) -> None:
    """Keep many versions with one statement; otherwise as `add`."""
    rows = [{k: v for k, v in msgspec.structs.asdict(version).items() if k in _COLUMNS} for version in versions]
    try:
        async with connection.begin_nested():
            await connection.execute(insert(_table), rows)
    except IntegrityError as error:
        raise InputError(
            f"the version's algorithm or environment is not in the store, or its id is: {error.orig}"
        ) from error
    changes.record(connection, "version", [version.id for version in versions])


async def get(connection: AsyncConnection, algorithm_id: str, selector: str) -> Version:
    """The version with that full commit hash (the newest, where it was built twice) or semantic version.

    Raises NoSuchVersion.
    """
    column = _table.c.semantic_version if "." in selector else _table.c.commit
    query = selection().where(_table.c.algorithm_id == algorithm_id, column == selector)
    version = await fetch_one(connection, _newest_first(query), Version)
    if version is None:
        raise NoSuchVersion(f"No such version: {selector[:100]}")
    return version


async def by_id(connection: AsyncConnection, version_id: str) -> Version:
    """The version with that id; raises NoSuchVersion."""
    version = await fetch_one(connection, selection().where(_table.c.id == version_id), Version)
    if version is None:
        raise NoSuchVersion("No such version")
    return version


async def semantic_versions(connection: AsyncConnection, algorithm_id: str) -> list[str]:
    """Every semantic version that the algorithm has published, in no order."""
    mine = select(_table.c.semantic_version).where(_table.c.algorithm_id == algorithm_id)
    return [text for text in (await connection.scalars(mine)).all() if text is not None]


async def page(
    connection: AsyncConnection,
    algorithm_id: str,
    limit: int = 50,
    marker: str | None = None,
    published: bool | None = None,
    callable: bool | None = None,
) -> tuple[list[Version], str | None]:
    """Versions, newest first, and the marker of the next page (None after the last).

    `published` keeps those that are or are not; `callable` those that everyone or only the owner may call.
    Raises BadMarker.
    """
    query = selection().where(_table.c.algorithm_id == algorithm_id)
    if published is not None:
        query = query.where(_table.c.semantic_version.is_not(None) == published)
    if callable is not None:
        query = query.where((_table.c.callability.is_not_distinct_from("public")) == callable)
    if marker is not None:
        query = query.where(
            tuple_(_table.c.created_at, _table.c.id) < await _position(connection, algorithm_id, marker)
        )
    found = await fetch_all(connection, _newest_first(query).limit(limit + 1), Version)
    return found[:limit], found[limit - 1].id if len(found) > limit else None


async def publish(
    connection: AsyncConnection,
    version_id: str,
    semantic_version: str,
    callability: Callability,
    release_notes: str = "",
    sample_input: str = "",
    sample_output: str = "",
) -> Version:
    """Give a version its number. With the same values again nothing changes.

    Raises AlreadyPublished when it has others, AlreadyExists when another version has the number, NoSuchVersion.
    """
    values = dict(
        zip(_PUBLICATION, (semantic_version, callability, release_notes, sample_input, sample_output), strict=True)
    )
    fresh = update(_table).where(_table.c.id == version_id, _table.c.semantic_version.is_(None))
    try:
        async with connection.begin_nested():
            done = await connection.execute(fresh.values(**values, published_at=time.time()))
    except IntegrityError as error:
        raise AlreadyExists(f"the algorithm has a version {semantic_version} already") from error
    version = await by_id(connection, version_id)
    if done.rowcount:
        changes.record(connection, "version", version_id)
    elif any(getattr(version, name) != value for name, value in values.items()):
        raise AlreadyPublished(f"the commit is published already, as {version.semantic_version}")
    return version


async def secrets_changed(connection: AsyncConnection, algorithm_id: str) -> None:
    """The algorithm has its first secret, or has lost its last: so have all of its versions."""
    mine = select(_table.c.id).where(_table.c.algorithm_id == algorithm_id)
    changes.record(connection, "version", (await connection.scalars(mine)).all())


def _has_secrets() -> ColumnElement[bool]:
    return exists().where(schema.secrets.c.algorithm_id == _table.c.algorithm_id)


def _newest_first(query: Select[Any]) -> Select[Any]:
    return query.order_by(_table.c.created_at.desc(), _table.c.id.desc())


async def _position(connection: AsyncConnection, algorithm_id: str, marker: str) -> tuple[float, str]:
    query = select(_table.c.created_at, _table.c.id)
    row = (await connection.execute(query.where(_table.c.id == marker, _table.c.algorithm_id == algorithm_id))).first()
    if row is None:
        raise BadMarker("unknown marker: use `marker` or `next_link` of the previous page")
    return row.created_at, row.id
