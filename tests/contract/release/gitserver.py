"""Git over HTTP as control serves it, in one process with a stand-in for control's internal door."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from slipway.access.authorization_header import key_from_header
from slipway.errors import AuthenticationError, PermissionDenied
from slipway.release.githttp import GitHttp, Receive, Scope, Send
from slipway.release.source import Sources

KEY = "sim" + "k" * 25
READER = "sim" + "r" * 25


async def admit(scope: Scope, owner: str, name: str, push: bool) -> str:
    """KEY may do all, READER may read."""
    headers = dict(scope["headers"])
    key = key_from_header(headers.get(b"authorization", b"").decode())
    if key == KEY:
        return "ann"
    if key != READER:
        raise AuthenticationError("unknown key")
    if push:
        raise PermissionDenied(f"bob may not push algorithm of {owner}")
    return "bob"


class GitServer:
    """Where it listens, and what it was told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pushes: list[bytes] = []  # bodies of POST /pushes
        self.pushed: list[tuple[str, str, str]] = []  # calls of the callback
        self.lines: list[str] = ["building", "built"]  # what /pushes streams
        self.go_on = asyncio.Event()  # between the first line and the rest

    def url(self, name: str = "echo", key: str = KEY) -> str:
        """The repository's address with a credential."""
        return f"http://ann:{key}@127.0.0.1:{self.port}/git/ann/{name}.git"

    async def internal(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Control's internal application."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        self.pushes.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for number, line in enumerate(self.lines):
            if number:
                await self.go_on.wait()
            await send({"type": "http.response.body", "body": f"{line}\n".encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def note(self, owner: str, name: str, actor: str) -> None:
        """The callback after a push."""
        self.pushed.append((owner, name, actor))


@asynccontextmanager
async def serve(sources: Sources, internal_socket: Path) -> AsyncIterator[GitServer]:
    """Serve repositories on a free port; the internal door is open too."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = GitServer(listening.getsockname()[1])
    git = GitHttp(sources, admit, str(internal_socket), server.note)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(internal_socket))
    door.listen()
    async with _running(git, listening), _running(server.internal, door):
        yield server


@asynccontextmanager
async def _running(
    application: Callable[[Scope, Receive, Send], Awaitable[None]], on: socket.socket
) -> AsyncIterator[None]:
    config = uvicorn.Config(
        application, interface="asgi3", lifespan="off", log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve([on]))
    try:
        yield
    finally:
        server.should_exit = True
        await task
        on.close()


def basic(key: str) -> str:
    """The header that git sends."""
    return "Basic " + base64.b64encode(f"ann:{key}".encode()).decode()
