"""Hosted data, as far as deploying from a notebook needs it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from slipway.access.decisions import Action, Resource
from slipway.control.authentication import Who, decides
from slipway.control.context import Context, Ctx
from slipway.control.errors import response
from slipway.errors import AlreadyExists, InputError, NoSuchData, ParsingError
from slipway.registry import accounts
from slipway.registry.files import DataPath, Entry, parse_path

router = APIRouter(prefix="/v1", tags=["data"])

_ROUTES = ("/data/{path:path}", "/connector/data/{path:path}")
_ROOTS = DataPath("")  # what lies above the accounts' own directories


def place(action: Action) -> Any:  # noqa: ANN401
    """A dependency: the place that the path names, if the caller may do that there."""

    @decides
    async def permission(path: str, context: Ctx, principal: Who) -> DataPath:
        own = principal.account.name
        if not path and action is Action.DATA_READ:
            await context.allow(principal, action, Resource("data", own), own)
            return _ROOTS
        where = parse_path(path, own)
        await context.allow(principal, action, Resource("data", where.owner), str(where))
        if where.owner != own:
            async with context.store.read() as connection:
                await accounts.get(connection, where.owner)
        return where

    return Depends(permission)


Readable = Annotated[DataPath, place(Action.DATA_READ)]
Writable = Annotated[DataPath, place(Action.DATA_WRITE)]


async def head(where: Readable, context: Ctx) -> Response:
    """Whether a file or directory is there, and which."""
    entry = await _stat(context, where)
    headers = {"X-Data-Type": "directory" if entry.directory else "file"}
    if not entry.directory:
        headers["Content-Length"] = str(entry.size)
    return Response(headers=headers)


async def get(where: Readable, context: Ctx, principal: Who) -> Response:
    """A file's bytes, or a directory's listing; at the top the caller's own directory."""
    if where == _ROOTS:
        listing: dict[str, Any] = {"folders": [{"name": principal.account.name}], "files": []}
        return JSONResponse(listing, headers={"X-Data-Type": "directory"})
    entry = await _stat(context, where)
    if entry.directory:
        return JSONResponse(await _listing(context, where), headers={"X-Data-Type": "directory"})
    headers = {"X-Data-Type": "file", "Content-Length": str(entry.size)}
    chunks = context.files.read_stream(where)
    return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)


async def put(where: Writable, request: Request, context: Ctx, principal: Who) -> dict[str, Any]:
    """Write a file, in place of what was there; whole or not at all."""
    written = await context.files.write_stream(where, request.stream())
    await context.event(principal, "data.put", str(where), sha256=written.sha256, size=str(written.size))
    return {"result": str(where), "sha256": written.sha256, "size": written.size}


async def post(where: Writable, request: Request, context: Ctx, principal: Who) -> dict[str, Any]:
    """Make a directory; its parent is the path, its name in the body. One that is there already is no error."""
    directory = where.child(_name(await request.body()))
    if not where.parts and not await context.files.exists(where):
        await context.files.make_directory(where)
    try:
        await context.files.make_directory(directory)
    except AlreadyExists:
        if not (await context.files.stat(directory)).directory:
            raise
        return {"result": str(directory)}
    await context.event(principal, "data.mkdir", str(directory))
    return {"result": str(directory)}


async def delete(where: Writable, context: Ctx, principal: Who, force: bool = False) -> Any:  # noqa: ANN401
    """Remove a file, or a directory that is empty unless `force`."""
    try:
        deleted = await context.files.delete(where, force)
    except InputError as error:
        return response(error, deleted=0)
    await context.event(principal, "data.delete", str(where), files=str(deleted))
    return {"result": {"deleted": deleted}}


for _path in _ROUTES:
    _documented = _path == _ROUTES[0]
    for _method, _handler in (("HEAD", head), ("GET", get), ("PUT", put), ("POST", post), ("DELETE", delete)):
        router.add_api_route(
            _path, _handler, methods=[_method], include_in_schema=_documented and _method != "HEAD", response_model=None
        )


async def _stat(context: Context, where: DataPath) -> Entry:
    if where == _ROOTS:
        return Entry(name="", directory=True)
    try:
        return await context.files.stat(where)
    except NoSuchData:
        if where.parts:
            raise
        # An account's own directory is there before anything is in it.
        return Entry(name=where.owner, directory=True)


async def _listing(context: Context, where: DataPath) -> dict[str, Any]:
    found = await context.files.list(where) if await context.files.exists(where) else []
    return {
        "folders": [{"name": entry.name} for entry in found if entry.directory],
        "files": [_file(entry) for entry in found if not entry.directory],
    }


def _file(entry: Entry) -> dict[str, Any]:
    modified = datetime.fromtimestamp(entry.modified_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"filename": entry.name, "size": entry.size, "last_modified": modified}


def _name(body: bytes) -> str:
    """The name that a body asks for, whatever content type it was sent with."""
    try:
        name = msgspec.json.decode(body)["name"]
    except (msgspec.DecodeError, TypeError, KeyError) as error:
        raise ParsingError('send {"name": DIRECTORY}') from error
    if not isinstance(name, str):
        raise InputError("name: Input should be a valid string")
    return name
