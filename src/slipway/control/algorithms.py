"""Algorithms: make, list, describe, change, compile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, ValidationError

from slipway.access.decisions import Action, Resource
from slipway.access.principals import Principal
from slipway.control.authentication import anyone, may
from slipway.control.context import Context, Ctx
from slipway.control.environments import python_wanted
from slipway.control.removal import remove_algorithm
from slipway.control.rendering import algorithm_object, newest, page
from slipway.control.repair import ensure_repository
from slipway.errors import AlreadyExists, BadMarker, InputError, NoSuchVersion, ParsingError
from slipway.registry import accounts, algorithms, versions
from slipway.registry.names import NAME_SCHEMA
from slipway.types import Algorithm

router = APIRouter(prefix="/v1/algorithms", tags=["algorithms"])

Limit = Annotated[int, Query(ge=1, le=1000)]


class Details(BaseModel):
    """How an algorithm presents itself."""

    label: str | None = None
    summary: str | None = None
    tagline: str | None = None


class NewAlgorithm(BaseModel):
    """An algorithm to make. What `settings` holds beyond the platform's own is kept for its clients."""

    name: str = Field(json_schema_extra=NAME_SCHEMA)
    details: Details = Field(default_factory=Details)
    settings: dict[str, str | bool | int | None] = Field(default_factory=dict)

    def described(self) -> dict[str, str]:
        """The details, whole."""
        return {name: value or "" for name, value in self.details.model_dump().items()}

    def set(self) -> dict[str, str | bool | int]:
        """The settings that have a value."""
        return {name: value for name, value in self.settings.items() if value is not None}


class Change(BaseModel):
    """What to change of an algorithm; what is left out, or null, stays."""

    details: Details = Field(default_factory=Details)
    settings: dict[str, str | bool | int] = Field(default_factory=dict)


_TEXT = {"type": "string"}
_DETAILS = {"type": "object", "properties": {"label": _TEXT, "summary": _TEXT, "tagline": _TEXT}}
_CHANGE = {"type": "object", "properties": {"details": _DETAILS, "settings": {"type": "object"}}}
_BODIES = {
    "requestBody": {
        "content": {
            "application/json": {"schema": _CHANGE},
            "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
        }
    }
}


@router.post("/{owner}", status_code=201)
async def create(
    owner: str, body: NewAlgorithm, context: Ctx, principal: Principal = may(Action.MANAGE)
) -> dict[str, Any]:
    """Make an algorithm, with a repository that holds a template of its language. Again: the same answer."""
    try:
        algorithm = await add_algorithm(context, owner, body)
    except AlreadyExists:
        async with context.store.read() as connection:
            algorithm = await algorithms.get(connection, owner, body.name)
        await ensure_repository(context, algorithm)
        if not _asks_for(body, algorithm):
            raise
        async with context.store.read() as connection:
            return await algorithm_object(connection, algorithm, await newest(connection, algorithm))
    await context.event(principal, "algorithm.create", f"{owner}/{body.name}")
    async with context.store.read() as connection:
        return await algorithm_object(connection, algorithm, None)


@router.get("")
async def list_all(
    request: Request, context: Ctx, limit: Limit = 1000, marker: str | None = None, principal: Principal = anyone()
) -> dict[str, Any]:
    """The algorithms of the caller and of their organizations; all of them for an administrator."""
    account = principal.account
    places = {account.name, *account.organizations, *(role.partition("/")[0] for role in account.roles)}
    seen = [owner for owner in places if may_inspect(context, principal, owner, "")]
    owners = None if account.admin else sorted(seen)
    return await _listed(context, request, owners, limit, marker)


@router.get("/{owner}")
async def list_owned(
    owner: str,
    request: Request,
    context: Ctx,
    limit: Limit = 1000,
    marker: str | None = None,
    principal: Principal = may(Action.INSPECT),
) -> dict[str, Any]:
    """An account's algorithms."""
    async with context.store.read() as connection:
        await accounts.get(connection, owner)
    return await _listed(context, request, [owner], limit, marker)


@router.get("/{owner}/{name}")
async def get(owner: str, name: str, context: Ctx, principal: Principal = may(Action.READ)) -> dict[str, Any]:
    """One algorithm, as of its newest version; of its newest public one for others than its owner."""
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        version = await newest(connection, algorithm, public_only=not may_inspect(context, principal, owner, name))
        return await algorithm_object(connection, algorithm, version)


@router.put("/{owner}/{name}", openapi_extra=_BODIES)
async def update(
    owner: str, name: str, request: Request, context: Ctx, principal: Principal = may(Action.MANAGE)
) -> dict[str, Any]:
    """Change an algorithm's description or settings; JSON, or form-encoded as client 2.0.5 sends it."""
    change = parse_change(await request.body(), request.headers.get("content-type", ""))
    async with context.store.begin() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        settings = {**algorithm.settings, **change.settings} if change.settings else None
        algorithm = await algorithms.update(
            connection, algorithm.id, settings=settings, **change.details.model_dump(exclude_none=True)
        )
    await context.event(principal, "algorithm.update", f"{owner}/{name}")
    async with context.store.read() as connection:
        return await algorithm_object(connection, algorithm, await newest(connection, algorithm))


@router.delete("/{owner}/{name}", status_code=204)
async def delete(owner: str, name: str, context: Ctx, principal: Principal = may(Action.MANAGE)) -> None:
    """Remove an algorithm with its versions, builds and repository. Calls that run go on to their end."""
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
    await remove_algorithm(context, principal, algorithm)


@router.post("/{owner}/{name}/compile")
async def compile_head(
    owner: str, name: str, context: Ctx, principal: Principal = may(Action.MANAGE)
) -> dict[str, Any]:
    """Build the default branch's commit, unless it is built already; answers when the build has ended."""
    async with context.store.read() as connection:
        await algorithms.get(connection, owner, name)
    commit = await context.builds.sources.head(owner, name)
    if commit is None:
        raise NoSuchVersion(f"the repository of {owner}/{name} has no commit yet")
    build = await context.request_build(owner, name, commit, principal.account.name)
    await context.event(principal, "algorithm.compile", f"{owner}/{name}", commit=commit, build=build.id)
    build = await context.ended(build)
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        version = await versions.by_id(connection, build.version_id) if build.version_id else None
        return await algorithm_object(connection, algorithm, version, build)


def may_inspect(context: Context, principal: Principal, owner: str, name: str) -> bool:
    """Whether the caller sees what is not published too."""
    return context.authorizer.decide(principal, Action.INSPECT, Resource("algorithm", owner, name=name)).allowed


def parse_change(body: bytes, content_type: str) -> Change:
    """The change that a PUT asks for. Raises ParsingError, InputError.

    Client 2.0.5 form-encodes `{"details": {…}}` as `details=label&details=summary`: the values are lost on the way, so
    that such fields change nothing, and are no error either.
    """
    try:
        fields = _form(body) if content_type.startswith("application/x-www-form-urlencoded") else _json(body)
        return Change.model_validate(fields)
    except ValidationError as error:
        found = error.errors()[0]
        raise InputError(f"{'.'.join(map(str, found['loc'])) or 'body'}: {found['msg']}") from error


def _form(body: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, text in parse_qsl(body.decode(errors="replace")):
        try:
            fields[name] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            continue
    return fields


def _json(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return msgspec.json.decode(body or b"{}")
    except msgspec.DecodeError as error:
        raise ParsingError(f"the body is no valid JSON: {error}") from error


async def add_algorithm(context: Context, owner: str, body: NewAlgorithm) -> Algorithm:
    """A new algorithm with its repository. Raises InputError, NoSuchAccount, AlreadyExists."""
    await python_wanted(context, body.set())  # a language that does not run here is refused now
    async with context.store.begin() as connection:
        account = await accounts.get(connection, owner)
        algorithm = await algorithms.create(
            connection, account=account, name=body.name, settings=body.set(), **body.described()
        )
    try:
        await ensure_repository(context, algorithm)
    except Exception:
        # An algorithm without a repository is of no use: let the caller try again.
        async with context.store.begin() as connection:
            await algorithms.delete(connection, algorithm.id)
        raise
    return algorithm


def _asks_for(body: NewAlgorithm, algorithm: Algorithm) -> bool:
    """Whether the algorithm is what the body asks for, so that a client that asks twice gets one."""
    described = {name: getattr(algorithm, name) for name in ("label", "summary", "tagline")}
    return (body.described(), body.set()) == (described, algorithm.settings)


async def _listed(
    context: Context, request: Request, owners: list[str] | None, limit: int, marker: str | None
) -> dict[str, Any]:
    async with context.store.read() as connection:
        asked: Sequence[str | None] = [None] if owners is None else owners
        found = [one for owner in asked for one in await algorithms.list_for(connection, owner)]
        start = _position(found, marker)
        shown = found[start : start + limit]
        results = [await algorithm_object(connection, one, await newest(connection, one)) for one in shown]
    following = shown[-1].id if start + limit < len(found) else None
    return page(results, following, request)


def _position(found: list[Algorithm], marker: str | None) -> int:
    if marker is None:
        return 0
    for position, algorithm in enumerate(found):
        if algorithm.id == marker:
            return position + 1
    raise BadMarker("unknown marker: use `marker` or `next_link` of the previous page")
