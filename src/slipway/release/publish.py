"""Publication: a built commit gets its number, and what is public becomes live, in one transaction."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import AlreadyPublished, InputError
from slipway.registry import algorithms, routes, versions
from slipway.registry.store import Store
from slipway.types import Arm, Callability, Route, Version

VersionType = Literal["major", "minor", "revision", "patch"]
VERSION_TYPES: tuple[str, ...] = get_args(VersionType)


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a publication; None leaves it to the platform."""

    version_type: VersionType | None = None  # None: minor
    callability: Callability | None = None  # None: as the newest published version has it, else private
    release_notes: str | None = None
    sample_input: str | None = None  # None: as the build found it
    sample_output: str | None = None


async def publish(store: Store, version: Version, asked: Publication) -> Version:
    """Publish a built version; asked again with nothing new, it answers the same.

    Raises AlreadyPublished where the commit is published and something else is asked now.
    """
    async with store.begin() as connection:
        return await publish_in(connection, version.id, asked)


async def publish_in(connection: AsyncConnection, version_id: str, asked: Publication) -> Version:
    """As `publish`, within the caller's transaction."""
    version = await versions.by_id(connection, version_id)
    await algorithms.lock(connection, version.algorithm_id)
    version = await versions.by_id(connection, version_id)
    if version.semantic_version is not None:
        return _unchanged(version, asked)
    taken = await versions.semantic_versions(connection, version.algorithm_id)
    callability = asked.callability or await _usual_callability(connection, version.algorithm_id)
    published = await versions.publish(
        connection,
        version.id,
        next_version(taken, asked.version_type or "minor"),
        callability,
        asked.release_notes or "",
        version.sample_input if asked.sample_input is None else asked.sample_input,
        version.sample_output if asked.sample_output is None else asked.sample_output,
    )
    if callability == "public":
        await routes.set(connection, Route(algorithm_id=version.algorithm_id, arms=(Arm(version_id=version.id),)))
    return published


def next_version(taken: list[str], version_type: str) -> str:
    """The number after the highest of `taken`; the first is 0.1.0, or 1.0.0 or 0.0.1 where that is asked.

    Raises InputError for an unknown type.
    """
    if version_type not in VERSION_TYPES:
        raise InputError(f"version_type is one of {', '.join(VERSION_TYPES)}, not {version_type!r}")
    major, minor, revision = max((_numbers(text) for text in taken), default=(0, 0, 0))
    if version_type == "major":
        return f"{major + 1}.0.0"
    if version_type == "minor":
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{revision + 1}"


def _numbers(text: str) -> tuple[int, int, int]:
    major, minor, revision = (int(part) for part in text.split("."))
    return major, minor, revision


def _unchanged(version: Version, asked: Publication) -> Version:
    wanted = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
    wanted.pop("version_type", None)  # its effect cannot be told from the number alone
    if any(getattr(version, name) != value for name, value in wanted.items()):
        raise AlreadyPublished(f"the commit is published already, as {version.semantic_version}")
    return version


async def _usual_callability(connection: AsyncConnection, algorithm_id: str) -> Callability:
    newest, _ = await versions.page(connection, algorithm_id, limit=1, published=True)
    return (newest[0].callability if newest else None) or "private"


def superseded(version_id: str, newest: list[Version]) -> bool:
    """Whether a later build has been published already, so that publishing this one would go back."""
    # Version ids are UUIDv7: their order is the order in which the commits came.
    return any(other.id > version_id and other.published_at is not None for other in newest)
