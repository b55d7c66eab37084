"""The gateway's ASGI application: health, pipelined calls, and the way to control."""

from __future__ import annotations

from collections.abc import Callable

from starlette.middleware.cors import CORSMiddleware

from slipway.gateway.forward import Forwarder, Receive, Scope, Send
from slipway.gateway.invoke import Invoker
from slipway.gateway.pipelined import answer_call
from slipway.settings import Settings

_PREFIX = "/v1/algo/"


class Application:
    """What takes every request that did not take the short cut."""

    def __init__(self, settings: Settings, invoker: Invoker, ready: Callable[[], bool]) -> None:
        self._invoker, self._ready = invoker, ready
        self._forward = Forwarder(settings.control_socket)
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Answer browsers as the settings say."""
        self._handle = self._route
        if settings.cors_origins:
            self._handle = CORSMiddleware(
                self._route, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"]
            )

    async def close(self) -> None:
        """Close the connections to control."""
        await self._forward.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await self._handle(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.startswith(_PREFIX) and scope["method"] == "POST":
            await answer_call(self._invoker, scope, receive, send)
        elif path == "/health/live":
            await _text(send, 200, b"live\n")
        elif path == "/health/ready":
            ready = self._ready() and self._invoker.recorder.healthy
            await _text(send, 200 if ready else 503, b"ready\n" if ready else b"not ready\n")
        else:
            await self._forward(scope, receive, send)


async def _text(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
