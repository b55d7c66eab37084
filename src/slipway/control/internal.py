"""What only the platform's own processes reach: the gateways' feed, pushes as git's hook reports them, the gateways'
asynchronous calls, and what algorithms ask for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from slipway.control.acting import ActingApplication
from slipway.control.asynchronous.intake import Intake
from slipway.control.context import Context
from slipway.errors import SlipwayError
from slipway.wire.acting import PREFIX
from slipway.wire.handover import PATH, decode_submissions, encode_taken


class Push(msgspec.Struct, frozen=True):
    """A branch that was pushed."""

    owner: str
    name: str
    commit: str
    actor: str
    ref: str = ""


def internal_application(context: Context, public: ASGIApp, intake: Intake | None = None) -> Starlette:
    """The ASGI application of the internal socket; `public` is the one of the public API."""

    async def feed(_request: Request) -> Response:
        lines = context.stopping.until(context.feeds.snapshots())
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def pushes(request: Request) -> Response:
        try:
            push = msgspec.json.decode(await request.body(), type=Push)
        except msgspec.MsgspecError as error:
            return Response(f"{error}\n", 400, media_type="text/plain")
        return StreamingResponse(_build_lines(context, push), media_type="text/plain; charset=utf-8")

    async def asynchronous(request: Request) -> Response:
        if intake is None or context.stopping.begun:
            return Response(status_code=503)
        try:
            taken = await intake.take(decode_submissions(await request.body()))
        except SlipwayError as error:
            return Response(f"{error}\n", error.status, media_type="text/plain")
        return Response(encode_taken(taken), media_type="application/msgpack")

    return Starlette(
        routes=[
            Route("/feed", feed),
            Route("/pushes", pushes, methods=["POST"]),
            Route(PATH, asynchronous, methods=["POST"]),
            Mount(PREFIX, ActingApplication(public)),
        ]
    )


async def _build_lines(context: Context, push: Push) -> AsyncIterator[str]:
    try:
        build = await context.request_build(push.owner, push.name, push.commit, push.actor)
        async for line in context.stopping.until(context.builds.follow(build.id)):
            yield f"{line}\n"
        await context.ended(build)
        # The pusher's next call may follow at once.
        await context.feeds.told()
    except SlipwayError as error:
        yield f"slipway: {error}\n"
