"""Insights: what an algorithm, or whoever calls one, wants to have on record."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, JsonValue

from slipway.access.decisions import Action
from slipway.access.principals import Principal
from slipway.control.authentication import may, themselves
from slipway.control.context import Ctx
from slipway.control.observation import Since, stream
from slipway.control.reading import Reading, everything
from slipway.errors import TooLarge
from slipway.journal.reader import AuditFilter
from slipway.registry import algorithms

router = APIRouter(prefix="/v1", tags=["insights"])

VERB = "insight"
_MOST_BYTES = 64 * 1024  # of one request's insights, as they are recorded


class Insight(BaseModel):
    """One key and its value."""

    insight_key: Annotated[str, Field(min_length=1, max_length=200)]
    insight_value: JsonValue = None


@router.post("/insights", status_code=200)
async def report(
    body: Annotated[list[Insight], Field(max_length=1000)],
    context: Ctx,
    principal: Principal = themselves(Action.INSIGHT),
) -> dict[str, Any]:
    """Record insights: of the call on whose behalf they are sent, or of the account. They are on disk afterwards."""
    insights = {one.insight_key: one.insight_value for one in body}
    text = msgspec.json.encode(insights).decode()
    if len(text) > _MOST_BYTES:
        raise TooLarge(f"the insights are longer than {_MOST_BYTES} bytes")
    resource = principal.algorithm or principal.account.name
    if insights:
        await context.event(principal, VERB, resource, call=principal.call_id, insights=text)
    return {"accepted": len(insights)}


@router.get("/algorithms/{owner}/{name}/insights", response_class=StreamingResponse)
async def read(
    owner: str,
    name: str,
    request: Request,
    context: Ctx,
    since: Since = 0.0,
    follow: bool = False,
    principal: Principal = may(Action.INSPECT),
) -> StreamingResponse:
    """What an algorithm's calls reported, one JSON object a line; `detail` holds the call's id and the insights."""
    async with context.store.read() as connection:
        await algorithms.get(connection, owner, name)
    wanted = AuditFilter(since=since, algorithm=f"{owner}/{name}")
    return stream(context, Reading(wanted, follow, everything, verb=VERB))
