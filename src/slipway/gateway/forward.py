"""Everything that is no call goes to control: requests as streams, WebSockets as bytes, both in bounded memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import httpx

from slipway.errors import CapacityError
from slipway.gateway.replies import refusal_body

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_RESTART_SECONDS = 5.0  # how long a request waits for a control that is being restarted
_HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"proxy-connection"}
_NOT_RETURNED = _HOP_BY_HOP | {b"date"}  # this process has one of its own


class Forwarder:
    """An ASGI application that hands each request to control and streams the reply back."""

    def __init__(self, socket: Path) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket), limits=limits),
            base_url="http://control",
            timeout=httpx.Timeout(None, connect=_RESTART_SECONDS),
        )

    async def close(self) -> None:
        """Close the connections to control."""
        await self._client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one HTTP request."""
        body = _RequestBody(scope, receive)
        try:
            response = await self._open(scope, body)
        except httpx.HTTPError:
            await _refuse(scope, send)
            return
        try:
            headers = [(name.lower(), value) for name, value in response.headers.raw]
            headers = [(name, value) for name, value in headers if name not in _NOT_RETURNED]
            await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
            await _until_first(self._stream(response, send), body.disconnected())
        finally:
            await response.aclose()

    async def _open(self, scope: Scope, body: _RequestBody) -> httpx.Response:
        """Send the request; while control is being restarted nothing has been sent, so it is tried again."""
        patience = time.monotonic() + _RESTART_SECONDS
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        url = httpx.URL("http://control").copy_with(raw_path=target)
        while True:
            content = body.chunks() if body.expected else None
            request = httpx.Request(scope["method"], url, headers=_forwarded(scope), content=content)
            try:
                return await self._client.send(request, stream=True)
            except httpx.ConnectError:
                if body.started or time.monotonic() > patience:
                    raise
                await asyncio.sleep(0.05)

    @staticmethod
    async def _stream(response: httpx.Response, send: Send) -> None:
        async for chunk in response.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class _RequestBody:
    """The client's body, pulled as control takes it; afterwards it tells when the client goes away."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        names = {name for name, _ in scope["headers"]}
        self.expected = bool(names & {b"content-length", b"transfer-encoding"})
        self.started = False
        self._receive = receive

    async def chunks(self) -> AsyncIterator[bytes]:
        self.started = True
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise httpx.WriteError("the client went away")
            if message["body"]:
                yield message["body"]
            if not message.get("more_body"):
                return

    async def disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _until_first(*coroutines: Any) -> None:  # noqa: ANN401
    """Run until one of them ends, and cancel the others; raises what that one raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for task in done:
        task.result()


def _forwarded(scope: Scope) -> list[tuple[bytes, bytes]]:
    headers = [(name, value) for name, value in scope["headers"] if name not in _HOP_BY_HOP]
    client = scope.get("client")
    if client:
        headers.append((b"x-forwarded-for", client[0].encode()))
    return headers


async def _refuse(scope: Scope, send: Send) -> None:
    error = CapacityError("the control process is not answering; calls go on, try this again in a moment")
    body = refusal_body(error, "")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})


class Tunnel(asyncio.Protocol):
    """One end of a WebSocket: whatever arrives here leaves at `other`, no faster than that takes it."""

    def __init__(self, transport: asyncio.Transport | None = None) -> None:
        self.transport = transport
        self.other: Tunnel

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        if self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Too much waits to leave here: stop reading there."""
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Enough has left."""
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        """Close the other end too."""
        self.transport = None
        if self.other.transport is not None:
            self.other.transport.close()


async def open_tunnel(socket: Path, client: asyncio.Transport, head: bytes) -> None:
    """Join the client's connection to a new one to control, and send the request's head on."""
    client.pause_reading()
    near, far = Tunnel(client), Tunnel()
    near.other, far.other = far, near
    client.set_protocol(near)
    try:
        await asyncio.get_running_loop().create_unix_connection(lambda: far, str(socket))
    except OSError:
        client.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        client.close()
        return
    assert far.transport is not None
    far.transport.write(head)
    client.resume_reading()
