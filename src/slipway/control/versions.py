"""An algorithm's versions and builds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from slipway.access.decisions import Action
from slipway.access.principals import Principal
from slipway.control.algorithms import may_inspect
from slipway.control.authentication import may
from slipway.control.context import Context, Ctx
from slipway.control.rendering import algorithm_object, build_object, execution_object, page
from slipway.errors import NoSuchBuild, NoSuchVersion, NotFound
from slipway.registry import algorithms, builds, environments, versions
from slipway.types import Build

router = APIRouter(prefix="/v1/algorithms/{owner}/{name}", tags=["versions and builds"])

Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/versions")
async def list_versions(
    owner: str,
    name: str,
    request: Request,
    context: Ctx,
    limit: Limit = 50,
    marker: str | None = None,
    published: bool | None = None,
    callable: bool | None = None,
    principal: Principal = may(Action.READ),
) -> dict[str, Any]:
    """Versions, newest first. Others than the owner see those that everyone may call."""
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        if not may_inspect(context, principal, owner, name):
            published, callable = True, True
        found, following = await versions.page(connection, algorithm.id, limit, marker, published, callable)
        results = [await algorithm_object(connection, algorithm, version) for version in found]
    return page(results, following, request)


@router.get("/versions/{version}")
async def get_version(
    owner: str, name: str, version: str, context: Ctx, principal: Principal = may(Action.READ)
) -> dict[str, Any]:
    """One version, by commit hash or semantic version."""
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        found = await versions.get(connection, algorithm.id, version)
        if found.callability != "public" and not may_inspect(context, principal, owner, name):
            raise NoSuchVersion(f"No such version: {version[:100]}")
        return await algorithm_object(connection, algorithm, found)


@router.get("/versions/{version}/execution")
async def get_execution(
    owner: str, name: str, version: str, context: Ctx, principal: Principal = may(Action.INSPECT)
) -> dict[str, Any]:
    """What one version runs in, how its replicas start and why so, and what they may take."""
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        found = await versions.get(connection, algorithm.id, version)
        environment = await environments.get(connection, found.environment)
    if environment is None:
        raise NotFound("there is no such environment")
    return execution_object(found, environment)


@router.get("/builds")
async def list_builds(
    owner: str,
    name: str,
    request: Request,
    context: Ctx,
    limit: Limit = 50,
    marker: str | None = None,
    principal: Principal = may(Action.INSPECT),
) -> dict[str, Any]:
    """Builds, newest first."""
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        found, following = await builds.page(connection, algorithm.id, limit, marker)
    return page([build_object(build) for build in found], following, request)


@router.get("/builds/{build_id}")
async def get_build(
    owner: str, name: str, build_id: str, context: Ctx, principal: Principal = may(Action.INSPECT)
) -> dict[str, Any]:
    """One build."""
    return build_object(await _build(context, owner, name, build_id))


@router.get("/builds/{build_id}/logs", response_model=None)
async def build_logs(
    owner: str,
    name: str,
    build_id: str,
    context: Ctx,
    follow: bool = False,
    principal: Principal = may(Action.INSPECT),
) -> StreamingResponse | dict[str, Any]:
    """A build's log: 404 while it builds, as the classic API has it; with `follow` as text, while it is written."""
    build = await _build(context, owner, name, build_id)
    if follow:
        return StreamingResponse(_lines(context, build), media_type="text/plain; charset=utf-8")
    if build.status == "in-progress":
        raise NoSuchBuild("the build is still in progress: use follow=true to read along")
    return {"logs": await context.builds.log_text(build.id)}


async def _lines(context: Context, build: Build) -> AsyncIterator[str]:
    async for line in context.stopping.until(context.builds.follow(build.id)):
        yield f"{line}\n"


async def _build(context: Context, owner: str, name: str, build_id: str) -> Build:
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        return await builds.get(connection, build_id, algorithm_id=algorithm.id)
