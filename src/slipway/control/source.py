"""An algorithm's repository: over git, and file by file."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from slipway.access.authorization_header import basic_login
from slipway.access.decisions import Action, Resource
from slipway.access.principals import Principal
from slipway.control.authentication import anyone, identify, may
from slipway.control.context import Context, Ctx
from slipway.errors import AuthenticationError, NoSuchData, SlipwayError
from slipway.registry import algorithms
from slipway.release.githttp import GitHttp, Scope

router = APIRouter(prefix="/v1", tags=["source"])

_INTERNAL = {"id": "internal", "provider": "internal", "default": True, "enabled": True, "oauth": None, "urls": {}}


@router.get("/algorithms/{owner}/{name}/scm/status")
async def scm_status(owner: str, name: str, context: Ctx, principal: Principal = may(Action.MANAGE)) -> dict[str, str]:
    """Whether the repository can be reached."""
    async with context.store.read() as connection:
        await algorithms.get(connection, owner, name)
    return {"scm_connection_status": "active" if context.builds.sources.exists(owner, name) else "inactive"}


@router.get("/scms")
async def scms(principal: Principal = anyone()) -> dict[str, Any]:
    """Where repositories can be: on this platform."""
    return {"results": [_INTERNAL]}


@router.get("/algorithms/{owner}/{name}/source")
async def source(owner: str, name: str, context: Ctx, principal: Principal = may(Action.MANAGE)) -> dict[str, Any]:
    """The repository's address, the default branch's commit and its files."""
    async with context.store.read() as connection:
        await algorithms.get(connection, owner, name)
    sources = context.builds.sources
    commit = await sources.head(owner, name)
    files = await sources.files(owner, name, commit) if commit else []
    return {"git": f"/git/{owner}/{name}.git", "commit": commit, "files": files}


@router.get("/algorithms/{owner}/{name}/source/{path:path}")
async def source_file(
    owner: str, name: str, path: str, context: Ctx, principal: Principal = may(Action.MANAGE)
) -> Response:
    """One file of the default branch's commit."""
    sources = context.builds.sources
    commit = await sources.head(owner, name)
    if commit is None or path not in await sources.files(owner, name, commit):
        raise NoSuchData(f"the repository of {owner}/{name} has no file {path}")
    return Response(await sources.read(owner, name, commit, path), media_type="text/plain; charset=utf-8")


def git_application(context: Context) -> GitHttp:
    """Git over HTTP, behind the same keys and the same decisions."""

    async def admit(scope: Scope, owner: str, name: str, push: bool) -> str:
        headers = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
        header = headers.get(b"authorization")
        principal = await identify(context, header)
        login = basic_login(header)
        if principal is not None and login is not None and not _is(principal, login[0]):
            raise AuthenticationError(f"the key is not one of {login[0]}'s")
        async with context.store.read() as connection:
            if principal is not None:
                await algorithms.get(connection, owner, name)
        action = Action.PUSH if push else Action.MANAGE
        return context.allow(principal, action, Resource("repository", owner), f"{owner}/{name}").account.name

    async def pushed(owner: str, name: str, actor: str) -> None:
        context.journal.event(actor, "git.push", f"{owner}/{name}")
        try:
            await context.builds.request_head(owner, name, actor)
        except SlipwayError as error:
            context.journal.event("control", "build", f"{owner}/{name}", "failed", reason=str(error))

    return GitHttp(context.builds.sources, admit, str(context.settings.internal_socket), pushed)


def _is(principal: Principal, user: str) -> bool:
    return principal.account.admin or principal.account.name == user
