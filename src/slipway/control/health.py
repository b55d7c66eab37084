"""Whether this process lives, and whether it can serve."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from slipway.control.context import Ctx
from slipway.errors import SlipwayError

router = APIRouter(prefix="/health", include_in_schema=False)


@router.get("/live")
async def live() -> PlainTextResponse:
    """The loop turns."""
    return PlainTextResponse("live\n")


@router.get("/ready")
async def ready(context: Ctx) -> PlainTextResponse:
    """The store answers, events can be kept, and the process is not about to end."""
    try:
        await context.store.revision()
        good = context.journal.healthy and not context.stopping.begun
    except SlipwayError:
        good = False
    return PlainTextResponse("ready\n" if good else "not ready\n", 200 if good else 503)
