"""Lists of failed calls: of an algorithm, of a user's algorithms, of an organization's."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from slipway.access.decisions import Action, Resource
from slipway.access.principals import Principal
from slipway.control.authentication import Named, Who, decides, may, may_with
from slipway.control.context import Context, Ctx
from slipway.control.rendering import utc
from slipway.errors import NoSuchAccount
from slipway.observe.errors import FailedCall, with_messages
from slipway.observe.observer import usage_path
from slipway.observe.usage import read_errors
from slipway.registry import accounts, algorithms
from slipway.types import Account

router = APIRouter(prefix="/v1", tags=["errors"])

Limit = Annotated[int, Query(ge=1, le=1000)]
_USUAL = 100


class FailedCallEntry(BaseModel):
    """One failed call."""

    request_id: str
    created_at: str | None
    algorithm: str
    version: str
    caller: str
    status: int
    error_type: str
    message: str
    duration: float
    logs: str


@router.get("/algorithms/{algorithm_id}/errors")
async def errors_by_id(
    context: Ctx, limit: Limit = _USUAL, named: Named = may_with(Action.INSPECT)
) -> list[FailedCallEntry]:
    """An algorithm's newest failed calls, newest first."""
    return await _failed(context, f"{named.algorithm.owner}/{named.algorithm.name}", "", limit)


@router.get("/algorithms/{owner}/{name}/errors")
async def errors_by_name(
    owner: str, name: str, context: Ctx, limit: Limit = _USUAL, principal: Principal = may(Action.INSPECT)
) -> list[FailedCallEntry]:
    """The same, of the algorithm with that name."""
    async with context.store.read() as connection:
        await algorithms.get(connection, owner, name)
    return await _failed(context, f"{owner}/{name}", "", limit)


@decides
async def _user(user_id: str, context: Ctx, principal: Who) -> Account:
    """A user by id or name, if the caller may see what is recorded of them."""
    async with context.store.read() as connection:
        try:
            found = await accounts.by_id(connection, user_id)
        except NoSuchAccount:
            found = await accounts.get_user(connection, user_id)
    await context.allow(principal, Action.AUDIT, Resource("account", found.name), found.name)
    return found


@router.get("/users/{user_id}/errors")
async def errors_of_user(
    context: Ctx, user: Annotated[Account, Depends(_user)], limit: Limit = _USUAL
) -> list[FailedCallEntry]:
    """The newest failed calls of a user's algorithms, newest first; the user by id or name."""
    return await _failed(context, "", user.name, limit)


@router.get("/organizations/{organization}/errors")
async def errors_of_organization(
    organization: str,
    context: Ctx,
    limit: Limit = _USUAL,
    principal: Principal = may(Action.AUDIT, "organization"),
) -> list[FailedCallEntry]:
    """The newest failed calls of an organization's algorithms, newest first."""
    async with context.store.read() as connection:
        await accounts.get_organization(connection, organization)
    return await _failed(context, "", organization, limit)


async def _failed(context: Context, algorithm: str, owner: str, limit: int) -> list[FailedCallEntry]:
    def read() -> list[FailedCall]:
        found = read_errors(usage_path(context.settings), limit, algorithm=algorithm, owner=owner)
        return with_messages(context.settings.journal_directory, found)

    return [FailedCallEntry(**_render(call)) for call in await asyncio.to_thread(read)]


def _render(call: FailedCall) -> dict[str, Any]:
    said = call.message or call.error_type
    return {
        "request_id": call.request_id,
        "created_at": utc(call.time),
        "algorithm": call.algorithm,
        "version": call.version,
        "caller": call.caller,
        "status": call.status,
        "error_type": call.error_type,
        "message": call.message,
        "duration": call.duration_us / 1_000_000,
        "logs": f"{call.stdout}{said}\n",
    }
