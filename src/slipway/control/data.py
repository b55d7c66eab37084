"""Hosted data: `/v1/data/…`, and the same as `/v1/connector/data/…`."""

from __future__ import annotations

from email.utils import formatdate
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from slipway.access import acl
from slipway.access.decisions import Action, Resource
from slipway.access.principals import Principal
from slipway.control.authentication import Who, anyone, decides
from slipway.control.context import Context, Ctx
from slipway.control.direct import FileResponse, body_of
from slipway.control.errors import response
from slipway.control.listing import listing
from slipway.control.ranges import wanted
from slipway.errors import AlreadyExists, InputError, NoSuchData, ParsingError, RangeNotSatisfiable
from slipway.registry import accounts, directories
from slipway.registry.files import DataPath, Entry, OpenFile, parse_path

router = APIRouter(prefix="/v1", tags=["data"])

_ROUTES = ("/data/{path:path}", "/connector/data/{path:path}")
_ROOTS = DataPath("")  # what lies above the accounts' own directories
_DIRECTORY = {"X-Data-Type": "directory"}


def place(action: Action) -> Any:  # noqa: ANN401
    """A dependency: the place that the path names, if the caller may do that there."""

    @decides
    async def permission(path: str, context: Ctx, principal: Who) -> DataPath:
        own = principal.account.name
        if not path and action is Action.DATA_READ:
            await context.allow(principal, action, Resource("data", own), own)
            return _ROOTS
        where = parse_path(path, own, principal.algorithm, principal.call_id)
        shared = action is Action.DATA_READ and await _shared(context, principal, where)
        resource = Resource("data", where.owner, shared, where.algorithm)
        await context.allow(principal, action, resource, str(where))
        if where.owner != own:
            async with context.store.read() as connection:
                await accounts.get(connection, where.owner)
        return where

    return Depends(permission)


async def _shared(context: Context, principal: Principal, where: DataPath) -> bool:
    """Whether the owner lets the caller read there. A file is read as its directory is."""
    if where.apart or principal.owns(where.owner):
        return False
    async with context.store.read() as connection:
        allowed = await directories.acl_of(connection, where, acl.DEFAULT)
    return acl.admits(allowed, where.owner, principal)


Readable = Annotated[DataPath, place(Action.DATA_READ)]
Writable = Annotated[DataPath, place(Action.DATA_WRITE)]


async def head(where: Readable, context: Ctx) -> Response:
    """Whether a file or directory is there, and which."""
    entry = await _stat(context, where)
    return Response(headers=_DIRECTORY if entry.directory else {**_described(entry), "Content-Length": str(entry.size)})


async def get(
    where: Readable,
    request: Request,
    context: Ctx,
    principal: Who,
    marker: Annotated[str | None, Query(max_length=1000)] = None,
    acl: bool = False,
) -> Response:
    """A file's bytes, or those of a `Range`; a directory's listing; at the top the directories of the caller."""
    if where == _ROOTS:
        names = [principal.account.name, *sorted(principal.organizations)]
        roots: dict[str, Any] = {"folders": [{"name": name} for name in names], "files": []}
        return JSONResponse(roots, headers=_DIRECTORY)
    if (await _stat(context, where)).directory:
        return JSONResponse(await listing(context, where, marker, acl), headers=_DIRECTORY)
    return _content(await context.files.open(where), request)


async def put(where: Writable, request: Request, context: Ctx, principal: Who) -> dict[str, Any]:
    """Write a file, in place of what was there; whole or not at all."""
    written = await context.files.write(where, body_of(request))
    await context.event(principal, "data.put", str(where), sha256=written.sha256, size=str(written.size))
    return {"result": str(where), "sha256": written.sha256, "size": written.size}


async def post(where: Writable, request: Request, context: Ctx, principal: Who) -> dict[str, Any]:
    """Make a directory; its parent is the path, its name in the body. One that is there already is no error."""
    name, read = _asked(await request.body())
    directory = where.child(name)
    if not where.parts and not await context.files.exists(where):
        await context.files.make_directory(where)
    try:
        await context.files.make_directory(directory)
    except AlreadyExists:
        if not (await context.files.stat(directory)).directory:
            raise
        return {"result": str(directory)}
    if read is not None:
        await _set_acl(context, directory, read)
    await context.event(principal, "data.mkdir", str(directory), acl=_shown(read))
    return {"result": str(directory)}


async def patch(where: Writable, request: Request, context: Ctx, principal: Who) -> dict[str, Any]:
    """Change who may read a directory: `{"acl": {"read": […]}}`."""
    body = _decoded(await request.body())
    if not (await _stat(context, where)).directory:
        raise InputError(f"{where} is a file: it is read as its directory is")
    if where.apart:
        raise InputError(f"{where} belongs to one algorithm or call: it is shared with nobody")
    read = _read_acl(body)
    if read is None:
        raise InputError('send {"acl": {"read": [ENTRY, …]}}')
    await _set_acl(context, where, read)
    await context.event(principal, "data.acl", str(where), acl=_shown(read))
    return {"result": str(where), "acl": {"read": list(read)}}


async def delete(where: Writable, context: Ctx, principal: Who, force: bool = False) -> Any:  # noqa: ANN401
    """Remove a file, or a directory that is empty unless `force`."""
    try:
        deleted = await context.files.delete(where, force)
    except InputError as error:
        return response(error, deleted=0)
    async with context.store.begin() as connection:
        await directories.forget(connection, where)
    await context.event(principal, "data.delete", str(where), files=str(deleted))
    return {"result": {"deleted": deleted}}


_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FILE = {"application/octet-stream": _BINARY, "text/plain": _BINARY, "application/json": {"schema": {}}}
_REPLIES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file's bytes, in JSON a directory's listing", "content": _FILE},
    206: {"description": "The range of the file that was asked for", "content": _FILE},
    304: {"description": "The file is the one that the client has"},
}
_HANDLERS = (("HEAD", head), ("GET", get), ("PUT", put), ("POST", post), ("PATCH", patch), ("DELETE", delete))
for _path in _ROUTES:
    _documented = _path == _ROUTES[0]
    for _method, _handler in _HANDLERS:
        router.add_api_route(
            _path,
            _handler,
            methods=[_method],
            include_in_schema=_documented and _method != "HEAD",
            response_model=None,
            responses=_REPLIES if _method == "GET" else None,
        )


@router.api_route(
    "/connector/{connector}/{path:path}",
    methods=["HEAD", "GET", "PUT", "POST", "PATCH", "DELETE"],
    include_in_schema=False,
    dependencies=[anyone()],
)
async def no_connector(connector: str) -> None:
    """There are no connectors to foreign storage."""
    raise NoSuchData(f"there is no connector {connector[:100]!r}: hosted data is data://OWNER/DIRECTORY/FILE")


def _content(file: OpenFile, request: Request) -> Response:
    entry = file.entry
    headers = _described(entry)
    if entry.sha256 and headers["ETag"] in request.headers.get("if-none-match", ""):
        file.close()
        return Response(status_code=304, headers=headers)
    try:
        part = wanted(request.headers.get("range"), entry.size)
    except RangeNotSatisfiable:
        file.close()
        raise
    start, length = part or (0, entry.size)
    if part:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{entry.size}"
    headers["Content-Length"] = str(length)
    status = 206 if part else 200
    # The client for Node gives text only to those whom it was sent as text.
    asked = request.headers.get("accept", "")
    kind = asked if asked in ("text/plain", "application/json") else "application/octet-stream"
    return FileResponse(file, (start, length), status, {**headers, "Content-Type": kind})


def _described(entry: Entry) -> dict[str, str]:
    headers = {"X-Data-Type": "file", "Accept-Ranges": "bytes"}
    headers["Last-Modified"] = formatdate(entry.modified_at, usegmt=True)
    if entry.sha256:
        headers["ETag"] = f'"{entry.sha256}"'
    return headers


async def _stat(context: Context, where: DataPath) -> Entry:
    if where == _ROOTS:
        return Entry(name="", directory=True)
    try:
        return await context.files.stat(where)
    except NoSuchData:
        if where.parts:
            raise
        # An account's own directory is there before anything is in it; so is an algorithm's, and a call's.
        return Entry(name=where.name, directory=True)


async def _set_acl(context: Context, where: DataPath, read: acl.Acl) -> None:
    async with context.store.begin() as connection:
        await directories.set_acl(connection, where, read)


def _decoded(body: bytes) -> dict[str, Any]:
    """The object that a body is, whatever content type it was sent with."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ParsingError('send a JSON object such as {"name": DIRECTORY}') from error


def _asked(body: bytes) -> tuple[str, acl.Acl | None]:
    """The name of the directory to make, and its ACL where it is to have one of its own."""
    asked = _decoded(body)
    name = asked.get("name")
    if not isinstance(name, str):
        raise InputError("name: Input should be a valid string")
    return name, _read_acl(asked)


def _read_acl(asked: dict[str, Any]) -> acl.Acl | None:
    given = asked.get("acl")
    if given is None:
        return None
    if not isinstance(given, dict) or "read" not in given:
        raise InputError('acl: send {"read": [ENTRY, …]}')
    return acl.parse_acl(given["read"])


def _shown(read: acl.Acl | None) -> str:
    return "" if read is None else " ".join(read) or "private"
