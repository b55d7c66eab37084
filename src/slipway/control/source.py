"""An algorithm's repository: over git, and file by file."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from slipway.access.authorization_header import basic_login
from slipway.access.decisions import Action, Resource
from slipway.access.principals import Principal
from slipway.control.authentication import anyone, identify, may
from slipway.control.context import Context, Ctx
from slipway.errors import AuthenticationError, NoSuchData, NotFound, SlipwayError
from slipway.registry import algorithms
from slipway.release.githttp import GitHttp, Scope

router = APIRouter(prefix="/v1", tags=["source"])

INTERNAL_SCM = "internal"


@router.get("/algorithms/{owner}/{name}/scm/status")
async def scm_status(owner: str, name: str, context: Ctx, principal: Principal = may(Action.INSPECT)) -> dict[str, str]:
    """Whether the repository can be reached."""
    async with context.store.read() as connection:
        await algorithms.get(connection, owner, name)
    return {"scm_connection_status": "active" if context.builds.sources.exists(owner, name) else "inactive"}


@router.get("/scms")
async def scms(context: Ctx, principal: Principal = anyone()) -> dict[str, Any]:
    """Where repositories can be: on this platform."""
    return {"results": [_scm(context, INTERNAL_SCM)]}


@router.get("/scms/{scm_id}")
async def scm(scm_id: str, context: Ctx, principal: Principal = anyone()) -> dict[str, Any]:
    """One of them."""
    return _scm(context, scm_id)


@router.get("/scms/{scm_id}/oauth/status")
async def scm_authorization(scm_id: str, context: Ctx, principal: Principal = anyone()) -> dict[str, Any]:
    """Whether the caller may use it: the platform's own repositories need no authorization beyond a key."""
    _scm(context, scm_id)
    return {"authorization_status": "authorized", "scm_username": principal.account.name, "scm_organizations": []}


@router.get("/algorithms/{owner}/{name}/source")
async def source(owner: str, name: str, context: Ctx, principal: Principal = may(Action.INSPECT)) -> dict[str, Any]:
    """The repository's address, the default branch's commit and its files."""
    async with context.store.read() as connection:
        await algorithms.get(connection, owner, name)
    sources = context.builds.sources
    commit = await sources.head(owner, name)
    files = await sources.files(owner, name, commit) if commit else []
    return {"git": _address(context, owner, name), "commit": commit, "files": [_text(file) for file in files]}


@router.get("/algorithms/{owner}/{name}/source/{path:path}", response_class=Response)
async def source_file(
    owner: str, name: str, path: str, context: Ctx, principal: Principal = may(Action.INSPECT)
) -> Response:
    """One file of the default branch's commit."""
    async with context.store.read() as connection:
        await algorithms.get(connection, owner, name)
    sources = context.builds.sources
    commit = await sources.head(owner, name)
    if commit is None or path not in await sources.files(owner, name, commit):
        raise NoSuchData(f"the repository of {owner}/{name} has no file {path}")
    content = await sources.read(owner, name, commit, path)
    # Whatever it is, a browser must not run it as a page of this platform.
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    return Response(content, media_type="text/plain; charset=utf-8", headers=headers)


def git_application(context: Context) -> GitHttp:
    """Git over HTTP, behind the same keys and the same decisions."""

    async def admit(scope: Scope, owner: str, name: str, push: bool) -> str:
        headers = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
        principal = await _known(context, headers.get(b"authorization"))
        async with context.store.read() as connection:
            await algorithms.get(connection, owner, name)
        action = Action.PUSH if push else Action.INSPECT
        await context.allow(principal, action, Resource("repository", owner, name=name), f"{owner}/{name}")
        return principal.account.name

    async def pushed(owner: str, name: str, actor: str) -> None:
        context.journal.event(actor, "git.push", f"{owner}/{name}")
        try:
            await context.builds.request_head(owner, name, actor)
            context.wake_jobs()
        except SlipwayError as error:
            context.journal.event("control", "build", f"{owner}/{name}", "failed", reason=str(error))

    return GitHttp(context.builds.sources, admit, str(context.settings.internal_socket), pushed)


async def _known(context: Context, header: str | None) -> Principal:
    """Who pushes or clones. Raises AuthenticationError; git asks without a key at first, which does not count."""
    principal, login = await identify(context, header), basic_login(header)
    if principal is None:
        if header is not None:
            context.refusals.count("/git")
        raise AuthenticationError("git needs a user name, and a key as password")
    if login is not None and not principal.belongs_to(login[0]) and not principal.account.admin:
        context.refusals.count("/git")
        raise AuthenticationError(f"the key is not one of {login[0]}'s")
    return principal


def _scm(context: Context, scm_id: str) -> dict[str, Any]:
    """A source manager as the API shows it. Raises NotFound."""
    if scm_id != INTERNAL_SCM:
        raise NotFound(f"there is no source manager {scm_id[:100]!r}: {INTERNAL_SCM!r} is the only one")
    web = context.settings.public_url.rstrip("/")
    urls = {"web": web, "api": f"{web}/v1", "ssh": ""}
    # The classic clients look for `oauth`; their own models have `scm` in its place.
    return {
        "id": INTERNAL_SCM,
        "name": "Slipway",
        "provider": INTERNAL_SCM,
        "default": True,
        "enabled": True,
        "oauth": None,
        "scm": None,
        "urls": urls,
    }


def _address(context: Context, owner: str, name: str) -> str:
    return f"{context.settings.public_url.rstrip('/')}/git/{owner}/{name}.git"


def _text(file: str) -> str:
    """A file's name as JSON can hold it: git's may be any bytes."""
    return file.encode(errors="surrogateescape").decode(errors="replace")
