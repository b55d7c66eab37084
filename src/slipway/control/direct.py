"""Hosted data moves between a client's socket and a file in threads; the event loop only waits until one is ready.

Through ASGI every piece would be copied four times, most of them on the loop. A request that came on a connection of
its own (see `control/passed.py`) offers this as an extension of its scope; others are served as ASGI does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from slipway.registry.files import OpenFile
from slipway.registry.uploads import Body, Chunks, Upload, in_executor

EXTENSION = "slipway.direct"
_TURN_BYTES = 1 << 20  # then another download has its turn
_LEAST_BYTES = 1 << 17  # of an upload, that are worth a thread's while
_LINGER_SECONDS = 30.0

_senders = ThreadPoolExecutor(2, "download")


class Direct:
    """The connection of one request, past HTTP's parser: the rest of its body, and its reply's."""

    def __init__(self, client: socket.socket, cycle: RequestResponseCycle, length: int) -> None:
        self._client, self._cycle = client, cycle
        self._left = length  # of the body, in bytes

    @property
    def all_read(self) -> bool:
        """Whether nothing of the body is left in the socket."""
        return self._left <= len(self._cycle.body)

    async def write_to(self, upload: Upload) -> None:
        """Move the request's body; raises ClientDisconnect where it does not come whole."""
        if self._cycle.waiting_for_100_continue:
            self._cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._cycle.waiting_for_100_continue = False
        first, self._cycle.body = bytes(self._cycle.body), bytearray()
        self._left -= len(first)
        if first:
            await upload.append([first])
        while self._left:
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, min(self._left, _LEAST_BYTES))
            await readable(self._client)
            self._left -= await upload.fill(self._receive, self._left)

    async def send(self, file: OpenFile, offset: int, length: int) -> None:
        """Move a part of the file to the client, behind the head of the reply, and end the reply."""
        try:
            await self._cycle.flow.drain()
            while length:
                turn = functools.partial(_send, self._client, file.fileno(), offset, min(length, _TURN_BYTES))
                sent = await in_executor(_senders, turn)
                offset, length = offset + sent, length - sent
                if length:
                    await _writable(self._client)
        except OSError:  # the client is gone
            self._cycle.disconnected = True
            self._cycle.transport.abort()
        else:
            self._cycle.expected_content_length = 0
            await self._cycle.send({"type": "http.response.body", "body": b"", "more_body": False})

    def _receive(self, buffer: memoryview) -> int:
        try:
            count = self._client.recv_into(buffer)
        except BlockingIOError:
            return 0
        except OSError:
            count = 0
        if not count:
            raise ClientDisconnect
        return count


class FileResponse(StreamingResponse):
    """A part of a file, which is closed behind it."""

    def __init__(self, file: OpenFile, part: tuple[int, int], status: int, headers: dict[str, str]) -> None:
        super().__init__(file.read(*part), status, headers)
        self._file, self._part = file, part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        direct = _offered(scope)
        if direct is None:
            await super().__call__(scope, receive, send)
            return
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await direct.send(self._file, *self._part)
        finally:
            self._file.close()


def body_of(request: Request) -> Body:
    """What the client sends, in the cheapest way that its connection has."""
    return _offered(request.scope) or Chunks(request.stream())


async def linger(client: socket.socket) -> None:
    """Close a connection on which the client still sends: without this it would lose the reply that says why not."""
    with client, contextlib.suppress(OSError, TimeoutError):
        client.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(_LINGER_SECONDS):
            while await asyncio.get_running_loop().sock_recv(client, 1 << 16):
                pass


def _offered(scope: Scope) -> Direct | None:
    offered: Direct | None = scope.get("extensions", {}).get(EXTENSION, {}).get("connection")
    return offered


def _send(client: socket.socket, file: int, offset: int, length: int) -> int:
    """As much as the socket takes of it. Raises OSError where the client is gone."""
    sent = 0
    while sent < length:
        try:
            count = os.sendfile(client.fileno(), file, offset + sent, length - sent)
        except BlockingIOError:
            break
        if not count:
            raise EOFError("the file has become shorter")
        sent += count
    return sent


async def readable(client: socket.socket) -> None:
    """Wait until there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    await _ready(client, loop.add_reader, loop.remove_reader)


async def _writable(client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    await _ready(client, loop.add_writer, loop.remove_writer)


async def _ready(
    client: socket.socket, watch: Callable[..., object], ignore: Callable[[socket.socket], object]
) -> None:
    ready = asyncio.Event()
    watch(client, ready.set)
    try:
        await ready.wait()
    finally:
        ignore(client)
