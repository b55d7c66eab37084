"""Builds: attempts to turn a commit into a version."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from sqlalchemy import Select, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import BadMarker, NoSuchBuild
from slipway.ids import new_id
from slipway.registry import schema
from slipway.registry.rows import fetch_all, fetch_one
from slipway.types import Build, BuildStatus

_table = schema.builds


async def start(connection: AsyncConnection, algorithm_id: str, commit: str) -> Build:
    """A new build, in progress."""
    build = Build(id=new_id(), algorithm_id=algorithm_id, commit=commit, status="in-progress", started_at=time.time())
    await connection.execute(insert(_table), msgspec.structs.asdict(build))
    return build


async def finish(
    connection: AsyncConnection,
    build_id: str,
    status: BuildStatus,
    reason: str = "",
    version_id: str | None = None,
) -> Build:
    """Close a build. Raises NoSuchBuild."""
    values = {"status": status, "reason": reason, "version_id": version_id, "finished_at": time.time()}
    await connection.execute(update(_table).where(_table.c.id == build_id).values(**values))
    return await get(connection, build_id)


async def get(connection: AsyncConnection, build_id: str, *, algorithm_id: str | None = None) -> Build:
    """The build with that id, of that algorithm if one is given; raises NoSuchBuild."""
    query = select(_table).where(_table.c.id == build_id)
    if algorithm_id is not None:
        query = query.where(_table.c.algorithm_id == algorithm_id)
    build = await fetch_one(connection, query, Build)
    if build is None:
        raise NoSuchBuild("No such build")
    return build


async def latest(connection: AsyncConnection, algorithm_id: str, commit: str | None = None) -> Build | None:
    """The newest build of an algorithm, or of one of its commits."""
    query = select(_table).where(_table.c.algorithm_id == algorithm_id)
    if commit is not None:
        query = query.where(_table.c.commit == commit)
    return await fetch_one(connection, _newest_first(query), Build)


async def for_version(connection: AsyncConnection, version_id: str) -> Build | None:
    """The build that made a version."""
    return await fetch_one(connection, _newest_first(select(_table).where(_table.c.version_id == version_id)), Build)


async def in_progress(connection: AsyncConnection) -> list[Build]:
    """Builds without an end; at start, those that a crash cut off."""
    unfinished = select(_table).where(_table.c.status == "in-progress")
    return await fetch_all(connection, unfinished.order_by(_table.c.started_at, _table.c.id), Build)


async def page(
    connection: AsyncConnection, algorithm_id: str, limit: int = 50, marker: str | None = None
) -> tuple[list[Build], str | None]:
    """Builds, newest first, and the marker of the next page (None after the last). Raises BadMarker."""
    query = select(_table).where(_table.c.algorithm_id == algorithm_id)
    if marker is not None:
        query = query.where(
            tuple_(_table.c.started_at, _table.c.id) < await _position(connection, algorithm_id, marker)
        )
    found = await fetch_all(connection, _newest_first(query).limit(limit + 1), Build)
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def _newest_first(query: Select[Any]) -> Select[Any]:
    return query.order_by(_table.c.started_at.desc(), _table.c.id.desc())


async def _position(connection: AsyncConnection, algorithm_id: str, marker: str) -> tuple[float, str]:
    query = select(_table.c.started_at, _table.c.id)
    row = (await connection.execute(query.where(_table.c.id == marker, _table.c.algorithm_id == algorithm_id))).first()
    if row is None:
        raise BadMarker("unknown marker: use `marker` or `next_link` of the previous page")
    return row.started_at, row.id
