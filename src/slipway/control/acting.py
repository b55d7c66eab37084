"""The public API for algorithms in a call, on the internal socket: the platform says who asks, no key does."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from slipway.wire.acting import PREFIX, acting_from

KEY = "slipway.acting"  # in an ASGI scope; nobody outside can put it there


class ActingApplication:
    """Hands requests below `/acting` on to the public application, with the one on whose behalf they are."""

    def __init__(self, public: ASGIApp) -> None:
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        try:
            acting = acting_from(Headers(scope=scope))
        except KeyError as error:
            await PlainTextResponse(f"{error} is missing\n", 400)(scope, receive, send)
            return
        path, raw = scope["path"].removeprefix(PREFIX), scope["raw_path"].removeprefix(PREFIX.encode())
        inner = {**scope, "path": path, "raw_path": raw, "root_path": "", KEY: acting}
        await self._public(inner, receive, send)
