"""Publishing a built version."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from slipway.access.decisions import Action
from slipway.access.principals import Principal
from slipway.control.authentication import may
from slipway.control.context import Context, Ctx
from slipway.control.rendering import algorithm_object, newest
from slipway.errors import BuildFailed, NoSuchVersion
from slipway.registry import algorithms, versions
from slipway.release.publish import Publication, VersionType, publish
from slipway.types import Callability, Version

router = APIRouter(prefix="/v1/algorithms/{owner}/{name}", tags=["versions and builds"])


class WantedVersion(BaseModel):
    """How to number and describe a publication."""

    version_type: VersionType | None = None
    release_notes: str | None = None
    sample_input: str | None = None
    sample_output: str | None = None
    git_hash: str | None = None  # the commit to publish; the newest build without it


class WantedSettings(BaseModel):
    """Who may call it."""

    algorithm_callability: Callability | Literal[""] | None = None


class NewPublication(BaseModel):
    """A publication; every field is optional."""

    settings: WantedSettings = Field(default_factory=WantedSettings)
    version_info: WantedVersion = Field(default_factory=WantedVersion)


@router.post("/versions")
@router.post("/version", include_in_schema=False)
async def publish_version(
    owner: str,
    name: str,
    context: Ctx,
    body: NewPublication | None = None,
    principal: Principal = may(Action.PUBLISH),
) -> dict[str, Any]:
    """Publish a built version: it gets a semantic version, and goes live if it is public. Again: the same answer."""
    body = body or NewPublication()
    version = await _to_publish(context, owner, name, body.version_info.git_hash, principal)
    published = await publish(context.store, version, _publication(body))
    detail = {"version": published.semantic_version or "", "commit": published.commit}
    await context.event(principal, "version.publish", f"{owner}/{name}", **detail)
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        return await algorithm_object(connection, algorithm, published)


async def _to_publish(context: Context, owner: str, name: str, commit: str | None, principal: Principal) -> Version:
    """The version of that commit, or the newest; a commit that has no version yet is built first."""
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        version = await newest(connection, algorithm)
    if commit is None and version is not None:
        return version
    commit = commit or await context.builds.sources.head(owner, name)
    if commit is None:
        raise NoSuchVersion(f"{owner}/{name} has nothing to publish: push a commit first")
    build = await context.ended(await context.request_build(owner, name, commit, principal.account.name))
    if build.version_id is None:
        raise BuildFailed(f"commit {commit} could not be built: {build.reason}")
    async with context.store.read() as connection:
        return await versions.by_id(connection, build.version_id)


def _publication(body: NewPublication) -> Publication:
    wanted = body.version_info.model_dump(exclude={"git_hash"}, exclude_none=True)
    if body.settings.algorithm_callability:
        wanted["callability"] = body.settings.algorithm_callability
    return msgspec.convert(wanted, Publication)
