"""Takes over clients' connections that the gateways pass on: transfers of hosted data. See `gateway/passing.py`."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slipway.control.direct import EXTENSION, Direct, linger, readable

_LENGTH = struct.Struct("!I")
_PATIENCE_SECONDS = 10.0

logger = logging.getLogger(__name__)


async def take_over(listener: socket.socket, server: uvicorn.Server) -> None:
    """Serve connections that arrive at `listener`, as if `server` had accepted them, until cancelled."""
    loop = asyncio.get_running_loop()
    taking: set[asyncio.Task[None]] = set()
    try:
        while True:
            carrier, _ = await loop.sock_accept(listener)
            task = asyncio.ensure_future(_take(carrier, server))
            taking.add(task)
            task.add_done_callback(taking.discard)
    finally:
        for task in taking:
            task.cancel()
        listener.close()


async def _take(carrier: socket.socket, server: uvicorn.Server) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            client, data = await _receive(carrier)
    except (OSError, EOFError, TimeoutError) as error:
        logger.warning("a connection was not passed on whole: %s", error)
        return
    finally:
        carrier.close()
    same = client.dup()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: _Passed(server, data, same), client)


class _Passed(HttpToolsProtocol):
    """A connection whose first bytes were read elsewhere, for one request."""

    def __init__(self, server: uvicorn.Server, data: bytes, client: socket.socket) -> None:
        super().__init__(server.config, server.server_state, server.lifespan.state)
        self._first = data
        self._client = client  # the same connection, which remains when uvicorn closes its own
        self._direct: Direct | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # so that uvicorn knows when the head of a reply is out
        # Not at once: uvloop starts to read behind this, even where what is fed here paused it.
        self.loop.call_soon(self.data_received, b"")

    def data_received(self, data: bytes) -> None:
        first, self._first = self._first, b""
        if first or data:
            super().data_received(first + data)

    def on_headers_complete(self) -> None:
        self.flow.pause_reading()  # what follows is left to whoever handles the request
        super().on_headers_complete()
        length = next((int(value) for name, value in self.headers if name == b"content-length"), 0)
        self._direct = Direct(self._client, self.cycle, length)
        self.scope["extensions"] = {EXTENSION: {"connection": self._direct}}

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._direct is None or self._direct.all_read or exc:
            self._client.close()
        else:
            task = self.loop.create_task(linger(self._client))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)


async def _receive(carrier: socket.socket) -> tuple[socket.socket, bytes]:
    """The client's socket, and what was read from it. Raises EOFError if the gateway ended meanwhile."""
    await readable(carrier)
    head, descriptors, _, _ = socket.recv_fds(carrier, _LENGTH.size, 1)
    if not descriptors:
        raise EOFError("no descriptor came")
    client = socket.socket(fileno=descriptors[0])
    client.setblocking(False)
    try:
        (length,) = _LENGTH.unpack(head)
        return client, await _exactly(carrier, length)
    except BaseException:
        client.close()
        raise


async def _exactly(carrier: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        data = await asyncio.get_running_loop().sock_recv(carrier, length - len(received))
        if not data:
            raise EOFError("the gateway has ended")
        received += data
    return bytes(received)
