"""Connections that carry hosted data are passed on to control, with what was read of the request: the kernel hands over
the socket itself. Not a byte of a transfer goes through this process, whose loop answers calls.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path

_RESTART_SECONDS = 5.0  # how long a request waits for a control that is being restarted
_DATA = (b"/v1/data/", b"/v1/connector/")
_REPLACED = frozenset((b"connection", b"keep-alive"))
_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"

Headers = Sequence[tuple[bytes, bytes]]


def is_transfer(method: bytes, url: bytes, headers: Headers) -> bool:
    """Whether a request may move much data, in a form that can be passed on: its body, if any, has a stated length."""
    if not url.startswith(_DATA) or method not in (b"GET", b"PUT"):
        return False
    names = {name for name, _ in headers}
    return b"transfer-encoding" not in names and b"upgrade" not in names


def request_head(method: bytes, url: bytes, headers: Headers) -> bytes:
    """The request again; control closes the connection behind its reply, for it cannot answer calls."""
    lines = [b"%b %b HTTP/1.1\r\n" % (method, url)]
    lines += [b"%b: %b\r\n" % (name, value) for name, value in headers if name not in _REPLACED]
    return b"".join([*lines, b"connection: close\r\n\r\n"])


async def pass_on(path: Path, transport: asyncio.Transport, data: bytes) -> None:
    """Give a client's connection, paused, to control; `data` is what control is to read first."""
    try:
        with await _connected(path) as carrier:
            socket.send_fds(carrier, [len(data).to_bytes(4, "big")], [transport.get_extra_info("socket").fileno()])
            await asyncio.get_running_loop().sock_sendall(carrier, data)
    except OSError:
        transport.write(_UNAVAILABLE)
    transport.close()


async def _connected(path: Path) -> socket.socket:
    patience = time.monotonic() + _RESTART_SECONDS
    while True:
        carrier = socket.socket(socket.AF_UNIX)
        carrier.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(carrier, str(path))
        except OSError:
            carrier.close()
            if time.monotonic() > patience:
                raise
            await asyncio.sleep(0.05)
        else:
            return carrier
