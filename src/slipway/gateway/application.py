"""The gateway's ASGI application: health, pipelined calls, and the way to control."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.middleware.cors import CORSMiddleware

from slipway.gateway.forward import Forwarder, Receive, Scope, Send
from slipway.gateway.invoke import Invoker
from slipway.gateway.replies import parsed
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
            await self._call(scope, receive, send)
        elif path == "/health/live":
            await _text(send, 200, b"live\n")
        elif path == "/health/ready":
            ready = self._ready() and self._invoker.recorder.healthy
            await _text(send, 200 if ready else 503, b"ready\n" if ready else b"not ready\n")
        else:
            await self._forward(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A call that was pipelined behind another request."""
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message.get("more_body", False)
            if len(body) > self._invoker.body_limit:
                self._invoker.too_large(target, scope["headers"], b"", answered.set_result)
                break
        else:
            self._invoker.invoke(target, scope["headers"], bytes(body), b"", answered.set_result)
        await _relay(send, await answered)


async def _relay(send: Send, response: bytes) -> None:
    """Hand a rendered response to ASGI."""
    status, headers, body = parsed(response)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _text(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
