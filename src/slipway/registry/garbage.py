"""Rows that nobody needs any more."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.registry import changes, schema
from slipway.registry.rows import chunks

_versions, _builds, _jobs = schema.versions, schema.builds, schema.jobs
_KEPT_CHANGES = 10_000  # a gateway that is further behind reads everything again


class Unneeded(msgspec.Struct, frozen=True):
    """A version that is not published."""

    id: str
    algorithm: str  # owner/name
    commit: str


async def lock_builds(connection: AsyncConnection) -> None:
    """No build begins and no version appears until the transaction ends; on SQLite no writer works beside it anyway."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("LOCK TABLE builds, versions IN SHARE ROW EXCLUSIVE MODE"))


async def unneeded_versions(connection: AsyncConnection, keep: int, before: float) -> list[Unneeded]:
    """Unpublished versions made before a time, but for the newest `keep` of each algorithm; none that is live."""
    joined = _versions.join(schema.algorithms).join(schema.accounts)
    name = schema.accounts.c.name + "/" + schema.algorithms.c.name
    query = (
        select(_versions.c.id, name.label("algorithm"), _versions.c.commit, _versions.c.created_at)
        .select_from(joined)
        .where(_versions.c.semantic_version.is_(None))
        .order_by(_versions.c.algorithm_id, _versions.c.created_at.desc(), _versions.c.id.desc())
    )
    live = await _referred_to(connection)
    found = []
    for _, rows in groupby((await connection.execute(query)).all(), key=lambda row: row.algorithm):
        old = [row for row in list(rows)[keep:] if row.created_at < before and row.id not in live]
        found += [Unneeded(row.id, row.algorithm, row.commit) for row in old]
    return found


async def remove_versions(connection: AsyncConnection, ids: Collection[str]) -> None:
    """Remove versions; gateways hear of it."""
    for some in chunks(list(ids)):
        await connection.execute(delete(_versions).where(_versions.c.id.in_(some)))
    changes.record(connection, "version", ids)


async def known_versions(connection: AsyncConnection) -> set[str]:
    """Ids of all versions, and of builds under way, which make versions of the same ids."""
    building = select(_builds.c.id).where(_builds.c.status == "in-progress")
    return {*(await connection.scalars(select(_versions.c.id))), *(await connection.scalars(building))}


async def building(connection: AsyncConnection) -> set[str]:
    """Ids of builds under way."""
    return set(await connection.scalars(select(_builds.c.id).where(_builds.c.status == "in-progress")))


async def needed_environments(connection: AsyncConnection, besides: Collection[str]) -> set[str]:
    """Digests that versions name; those of the ids `besides` do not count."""
    named = await connection.execute(select(_versions.c.id, _versions.c.environment))
    return {row.environment for row in named if row.id not in besides}


async def remove_environments(connection: AsyncConnection, digests: Collection[str]) -> None:
    """Remove environments that no version names."""
    for some in chunks(list(digests)):
        await connection.execute(delete(schema.environments).where(schema.environments.c.digest.in_(some)))


async def ended_jobs(connection: AsyncConnection, before: float) -> int:
    """How many jobs ended before a time."""
    return int((await connection.execute(select(func.count()).select_from(_jobs).where(_ended(before)))).scalar_one())


async def remove_ended_jobs(connection: AsyncConnection, before: float) -> None:
    """Remove them."""
    await connection.execute(delete(_jobs).where(_ended(before)))


async def forget_changes(connection: AsyncConnection) -> None:
    """Drop the list of changes that every gateway has passed long ago."""
    await changes.forget(connection, max(await changes.current(connection) - _KEPT_CHANGES, 0))


def _ended(before: float) -> ColumnElement[bool]:
    return and_(_jobs.c.state.in_(("succeeded", "failed")), _jobs.c.finished_at < before)


async def _referred_to(connection: AsyncConnection) -> set[str]:
    """Versions that are live, or that asynchronous calls wait for."""
    arms = (await connection.scalars(select(schema.routes.c.arms))).all()
    waiting = select(schema.requests.c.version_id).where(schema.requests.c.state == "pending").distinct()
    return {arm.version_id for some in arms for arm in some} | set(await connection.scalars(waiting))
