"""The platform's end of a worker's socket, for as long as the host itself talks over it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

from slipway.wire.frames import Decoder, Frame

T = TypeVar("T")
_READ = 256 * 1024


class Conversation:
    """Frames out and in, one operation at a time. Gateways are leased duplicates of its descriptor."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection  # non-blocking
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self._busy = self._closing = False

    @property
    def descriptor(self) -> int:
        """Of the socket."""
        return self._connection.fileno()

    async def send(self, data: bytes) -> None:
        """Send it all. Raises OSError."""
        await self._use(lambda loop: loop.sock_sendall(self._connection, data))

    async def receive(self) -> Frame:
        """The next frame. Raises OSError at the end of the stream, ProtocolError."""
        while not self._frames:
            data = await self._use(lambda loop: loop.sock_recv(self._connection, _READ))
            if not data:
                raise ConnectionResetError("the worker closed its socket")
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    @property
    def exhausted(self) -> bool:
        """Whether nothing came that was not asked for."""
        return not self._frames

    def close(self) -> None:
        """Close the socket: at once, or when the operation under way, which this ends, has noticed."""
        self._closing = True
        if not self._busy:
            self._connection.close()
            return
        # Closed under the loop's hands, it would never tell whoever waits; and its number might be another's soon.
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the worker was faster

    async def _use(self, operation: Callable[[asyncio.AbstractEventLoop], Awaitable[T]]) -> T:
        if self._closing:
            raise ConnectionResetError("the worker has ended")
        self._busy = True
        try:
            return await operation(asyncio.get_running_loop())
        finally:
            self._busy = False
            if self._closing:
                self._connection.close()
