"""A SEQPACKET Unix socket that carries messages and descriptors, driven by an asyncio loop."""

from __future__ import annotations

import array
import asyncio
import collections
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

MAX_MESSAGE = 192 * 1024  # bytes; below the kernel's default send buffer


class Channel:
    """Messages of one union type in, any message out; ordered, whole, with up to eight descriptors each.

    `on_message(message, descriptors)` owns the descriptors it is given. `on_close()` is called once, when the
    other side is gone or sent something that is no message.
    """

    def __init__(
        self,
        connection: socket.socket,
        incoming: Any,  # noqa: ANN401 - a union of message types
        on_message: Callable[[Any, list[int]], None],
        on_close: Callable[[], None],
    ) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._decoder = msgspec.json.Decoder(incoming)
        self._on_message, self._on_close = on_message, on_close
        self._outgoing: collections.deque[tuple[bytes, tuple[int, ...]]] = collections.deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection.fileno(), self._readable)
        self.closed = False

    def send(self, message: msgspec.Struct, descriptors: Iterable[int] = ()) -> None:
        """Queue a message. Descriptors are duplicated, so the caller may close its own at once."""
        if self.closed:
            return
        data = msgspec.json.encode(message)
        if len(data) > MAX_MESSAGE:
            raise ValueError(f"message of {len(data)} bytes exceeds {MAX_MESSAGE}")
        self._outgoing.append((data, tuple(os.dup(descriptor) for descriptor in descriptors)))
        if len(self._outgoing) == 1:
            self._writable()

    def close(self) -> None:
        """Close the socket and every descriptor not yet sent; `on_close` is not called."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._connection.fileno())
        self._loop.remove_writer(self._connection.fileno())
        self._connection.close()
        for _, descriptors in self._outgoing:
            _close_all(descriptors)
        self._outgoing.clear()

    def _writable(self) -> None:
        while self._outgoing:
            data, descriptors = self._outgoing[0]
            try:
                socket.send_fds(self._connection, [data], list(descriptors))
            except BlockingIOError:
                self._loop.add_writer(self._connection.fileno(), self._writable)
                return
            except OSError:
                self._lost()
                return
            self._outgoing.popleft()
            _close_all(descriptors)
        self._loop.remove_writer(self._connection.fileno())

    def _readable(self) -> None:
        while not self.closed:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._connection, MAX_MESSAGE, 8)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self._lost()
                return
            try:
                message = self._decoder.decode(data)
            except msgspec.MsgspecError:
                _close_all(descriptors)
                self._lost()
                return
            self._on_message(message, list(array.array("i", descriptors)))

    def _lost(self) -> None:
        if not self.closed:
            self.close()
            # Not at once: a failed `send` would otherwise run the owner's clean-up in the middle of its own work.
            self._loop.call_soon(self._on_close)


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def listen(path: str) -> socket.socket:
    """A listening SEQPACKET socket at `path`, replacing a stale one; mode 0600."""
    if os.path.exists(path):
        os.unlink(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(path)
    os.chmod(path, 0o600)
    server.listen(64)
    server.setblocking(False)
    return server


def connect(path: str) -> socket.socket:
    """A connection to a listening SEQPACKET socket; raises OSError when nobody listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection
