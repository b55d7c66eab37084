"""Algorithms, versions and builds as the common API shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.registry import builds, versions
from slipway.types import Algorithm, Build, Environment, Version

_SCM = {"id": "internal", "provider": "internal", "default": True, "enabled": True}


async def algorithm_object(
    connection: AsyncConnection, algorithm: Algorithm, version: Version | None, build: Build | None = None
) -> dict[str, Any]:
    """The common API's algorithm object, as of one version (None: nothing is built yet)."""
    if build is None:
        build = await _build_of(connection, algorithm, version)
    settings = {**algorithm.settings, "algorithm_callability": (version and version.callability) or "private"}
    return {
        "id": algorithm.id,
        "name": algorithm.name,
        "details": {"label": algorithm.label, "summary": algorithm.summary, "tagline": algorithm.tagline},
        "settings": settings,
        "version_info": version_info(version) if version else {},
        "build": build_object(build, version) if build else None,
        "source": {"scm": _SCM},
        "compilation": {"successful": build is not None and build.status == "succeeded", "output": _output(build)},
        "self_link": f"/v1/algorithms/{algorithm.owner}/{algorithm.name}",
        "resource_type": "algorithm",
    }


def version_info(version: Version) -> dict[str, Any]:
    """A version's own part of the algorithm object."""
    return {
        "semantic_version": version.semantic_version,
        "git_hash": version.commit,
        "version_uuid": version.id,
        "release_notes": version.release_notes,
        "sample_input": version.sample_input,
        "sample_output": version.sample_output,
        "environment": version.environment,
        "created_at": utc(version.created_at),
        "published_at": utc(version.published_at),
    }


def execution_object(version: Version, environment: Environment) -> dict[str, Any]:
    """What a version's replicas run in, how they start, and what they may take."""
    return {
        **version_info(version),
        "entry": version.entry,
        "language": version.language,
        "start": msgspec.to_builtins(version.start),
        "environment": {
            "digest": environment.digest,
            "interpreter_version": environment.interpreter_version,
            "hardware": environment.hardware,
            "trusted": environment.trusted,
        },
        "resources": msgspec.to_builtins(version.resources),
        "scaling": msgspec.to_builtins(version.scaling),
    }


def build_object(build: Build, version: Version | None = None) -> dict[str, Any]:
    """A build, and what it made where that is known."""
    found: dict[str, Any] = {
        "build_id": build.id,
        "status": build.status,
        "commit_sha": build.commit,
        "reason": build.reason,
        "version_uuid": build.version_id,
        "started_at": utc(build.started_at),
        "finished_at": utc(build.finished_at),
        "resource_type": "algorithm_build",
    }
    if version is not None and version.semantic_version is not None:
        found["version_info"] = {"semantic_version": version.semantic_version}
    return found


def page(results: list[dict[str, Any]], marker: str | None, request: Request) -> dict[str, Any]:
    """One page of a listing; the next one is asked for as this one was."""
    query = urlencode({**request.query_params, "marker": marker})
    return {"marker": marker, "next_link": f"{request.url.path}?{query}" if marker else None, "results": results}


async def newest(connection: AsyncConnection, algorithm: Algorithm, public_only: bool = False) -> Version | None:
    """The version that was built last; `public_only`: of those that everyone may call."""
    found, _ = await versions.page(connection, algorithm.id, limit=1, callable=True if public_only else None)
    return found[0] if found else None


async def _build_of(connection: AsyncConnection, algorithm: Algorithm, version: Version | None) -> Build | None:
    if version is not None:
        return await builds.for_version(connection, version.id)
    return await builds.latest(connection, algorithm.id)


def _output(build: Build | None) -> str:
    return build.reason if build else ""


def utc(seconds: float | None) -> str | None:
    """A time as the common API writes it."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
