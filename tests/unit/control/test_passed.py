"""A connection that was passed on is read only as fast as its request is handled."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from slipway.control.passed import take_over
from slipway.gateway.passing import request_head

_BUFFERS = 16 << 20  # more than both sockets' buffers and what one read may take
_FIRST = 200_000  # of the body, passed on with the connection: more than uvicorn holds before it pauses


def test_a_body_that_nobody_reads_is_left_to_the_kernel(tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sent = runner.run(_sent_to_an_application_that_does_not_read(tmp_path / "passing.sock"))
    assert _FIRST <= sent < _BUFFERS


async def _sent_to_an_application_that_does_not_read(path: Path) -> int:
    """Bytes of a body that could be sent before the other end took no more."""
    called = asyncio.Event()

    async def application(_scope: Any, _receive: Any, _send: Any) -> None:
        called.set()
        await asyncio.Event().wait()

    server = uvicorn.Server(uvicorn.Config(application, http="httptools", lifespan="off", log_level="critical"))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.setblocking(False)
    serving = asyncio.ensure_future(take_over(listener, server))
    head = request_head(b"PUT", b"/v1/data/a/b/c", [(b"content-length", b"9" * 10)])
    client = await asyncio.to_thread(_passed, path, head)
    await called.wait()
    loop, sent = asyncio.get_running_loop(), _FIRST
    piece = bytes(1 << 16)
    with client:
        while sent < _BUFFERS:
            try:
                await asyncio.wait_for(loop.sock_sendall(client, piece), 0.5)
            except TimeoutError:  # nobody takes it
                break
            sent += len(piece)
    serving.cancel()
    for task in server.server_state.tasks:
        task.cancel()
    return sent


def _passed(path: Path, head: bytes) -> socket.socket:
    client, other = socket.socketpair()
    data = head + bytes(_FIRST)
    with socket.socket(socket.AF_UNIX) as carrier, other:
        carrier.connect(str(path))
        socket.send_fds(carrier, [len(data).to_bytes(4, "big")], [other.fileno()])
        carrier.sendall(data)
    client.setblocking(False)
    return client
