"""Algorithms: make, describe, change, compile, publish."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from slipway.access.decisions import Action
from slipway.access.principals import Principal
from slipway.control.authentication import anyone, may
from slipway.control.context import Context, Ctx
from slipway.control.rendering import algorithm_object, newest, page
from slipway.errors import BuildFailed, InputError, NoSuchVersion, ParsingError
from slipway.registry import accounts, algorithms, builds, versions
from slipway.release.publish import Publication, publish
from slipway.types import Algorithm, Build, Version

router = APIRouter(prefix="/v1", tags=["algorithms"])

_LISTED = 1000


class Details(BaseModel):
    """How an algorithm presents itself."""

    label: str | None = None
    summary: str | None = None
    tagline: str | None = None


class NewAlgorithm(BaseModel):
    """An algorithm to make. What `settings` holds beyond the platform's own is kept for its clients."""

    name: str
    details: Details = Field(default_factory=Details)
    settings: dict[str, str | bool | int] = Field(default_factory=dict)


class Change(BaseModel):
    """What to change of an algorithm."""

    details: Details = Field(default_factory=Details)
    settings: dict[str, str | bool | int] | None = None


@router.post("/algorithms/{owner}", status_code=201)
async def create(
    owner: str, body: NewAlgorithm, context: Ctx, principal: Principal = may(Action.MANAGE)
) -> dict[str, Any]:
    """Make an algorithm, with a repository that holds a template of its language."""
    async with context.store.begin() as connection:
        account = await accounts.get(connection, owner)
        details = {name: value or "" for name, value in body.details.model_dump().items()}
        algorithm = await algorithms.create(
            connection, account=account, name=body.name, settings=body.settings, **details
        )
    await ensure_repository(context, algorithm)
    context.event(principal, "algorithm.create", f"{owner}/{body.name}")
    async with context.store.read() as connection:
        return await algorithm_object(connection, algorithm, None)


@router.get("/algorithms")
async def list_all(context: Ctx, principal: Principal = anyone()) -> dict[str, Any]:
    """The algorithms that the caller owns; all of them for an administrator."""
    account = principal.account
    return await _listed(context, None if account.admin else account.name)


@router.get("/algorithms/{owner}")
async def list_owned(owner: str, context: Ctx, principal: Principal = may(Action.MANAGE)) -> dict[str, Any]:
    """An account's algorithms."""
    return await _listed(context, owner)


@router.get("/algorithms/{owner}/{name}")
async def get(owner: str, name: str, context: Ctx, principal: Principal = may(Action.READ)) -> dict[str, Any]:
    """One algorithm, as of its newest version."""
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        return await algorithm_object(connection, algorithm, await newest(connection, algorithm))


@router.put("/algorithms/{owner}/{name}")
async def update(
    owner: str, name: str, request: Request, context: Ctx, principal: Principal = may(Action.MANAGE)
) -> dict[str, Any]:
    """Change an algorithm's description or settings; JSON, or form-encoded as client 2.0.5 sends it."""
    body = _parsed(await request.body(), request.headers.get("content-type", ""))
    async with context.store.begin() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        settings = None if body.settings is None else {**algorithm.settings, **body.settings}
        algorithm = await algorithms.update(
            connection, algorithm.id, settings=settings, **body.details.model_dump(exclude_unset=True)
        )
    context.event(principal, "algorithm.update", f"{owner}/{name}")
    async with context.store.read() as connection:
        return await algorithm_object(connection, algorithm, await newest(connection, algorithm))


@router.post("/algorithms/{owner}/{name}/compile")
async def compile_head(
    owner: str, name: str, context: Ctx, principal: Principal = may(Action.MANAGE)
) -> dict[str, Any]:
    """Build the default branch's commit, unless it is built already; answers when the build has ended."""
    commit = await context.builds.sources.head(owner, name)
    if commit is None:
        raise NoSuchVersion(f"the repository of {owner}/{name} has no commit yet")
    build = await context.request_build(owner, name, commit, principal.account.name)
    build = await ended(context, build)
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        version = await versions.by_id(connection, build.version_id) if build.version_id else None
        return await algorithm_object(connection, algorithm, version, build)


class WantedVersion(BaseModel):
    """How to number and describe a publication."""

    version_type: str | None = None
    release_notes: str | None = None
    sample_input: str | None = None
    sample_output: str | None = None
    git_hash: str | None = None  # the commit to publish; the newest build without it


class WantedSettings(BaseModel):
    """Who may call it."""

    algorithm_callability: str | None = None


class NewPublication(BaseModel):
    """A publication; every field is optional."""

    details: Details = Field(default_factory=Details)
    settings: WantedSettings = Field(default_factory=WantedSettings)
    version_info: WantedVersion = Field(default_factory=WantedVersion)


@router.post("/algorithms/{owner}/{name}/versions")
@router.post("/algorithms/{owner}/{name}/version", include_in_schema=False)
async def publish_version(
    owner: str,
    name: str,
    context: Ctx,
    body: NewPublication | None = None,
    principal: Principal = may(Action.PUBLISH),
) -> dict[str, Any]:
    """Publish a built version: it gets a semantic version, and goes live if it is public."""
    body = body or NewPublication()
    version = await _to_publish(context, owner, name, body.version_info.git_hash, principal)
    published = await publish(context.store, version, _publication(body))
    detail = {"version": published.semantic_version or "", "commit": published.commit}
    context.event(principal, "version.publish", f"{owner}/{name}", **detail)
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        return await algorithm_object(connection, algorithm, published)


async def ended(context: Context, build: Build) -> Build:
    """The build, once it is no longer in progress."""
    async for _ in context.builds.follow(build.id):
        pass
    async with context.store.read() as connection:
        return await builds.get(connection, build.id)


async def ensure_repository(context: Context, algorithm: Algorithm) -> None:
    """Make the repository where a crash left an algorithm without."""
    if not context.builds.sources.exists(algorithm.owner, algorithm.name):
        await context.builds.sources.create(algorithm.owner, algorithm.name)


async def _listed(context: Context, owner: str | None) -> dict[str, Any]:
    async with context.store.read() as connection:
        found = await algorithms.list_for(connection, owner)
        results = [
            await algorithm_object(connection, algorithm, await newest(connection, algorithm))
            for algorithm in found[:_LISTED]
        ]
    return page(results, None, "/v1/algorithms")


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
    build = await ended(context, await context.request_build(owner, name, commit, principal.account.name))
    if build.version_id is None:
        raise BuildFailed(f"commit {commit} could not be built: {build.reason}")
    async with context.store.read() as connection:
        return await versions.by_id(connection, build.version_id)


def _publication(body: NewPublication) -> Publication:
    wanted = {**body.version_info.model_dump(exclude={"git_hash"}), "callability": body.settings.algorithm_callability}
    try:
        return msgspec.convert({name: value for name, value in wanted.items() if value is not None}, Publication)
    except msgspec.ValidationError as error:
        raise InputError(f"the publication is wrong: {error}") from error


def _parsed(body: bytes, content_type: str) -> Change:
    try:
        if content_type.startswith("application/x-www-form-urlencoded"):
            pairs = dict(parse_qsl(body.decode()))
            fields = {name: _unquoted(value) for name, value in pairs.items()}
            return Change.model_validate(fields)
        return Change.model_validate_json(body or b"{}")
    except ValueError as error:
        raise ParsingError(f"the change cannot be read: {error}") from error


def _unquoted(value: str) -> Any:  # noqa: ANN401 - any JSON
    """Client 2.0.5 form-encodes the outer object only: the parts are Python's text of dictionaries, or JSON."""
    try:
        return msgspec.json.decode(value.replace("'", '"').replace("None", "null"))
    except msgspec.DecodeError:
        return value
