"""Git over HTTP: an ASGI application around `git http-backend`, for `/git/OWNER/NAME.git/…`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, BinaryIO, Final

from slipway.errors import AuthenticationError, InputError, NoSuchAlgorithm, SlipwayError
from slipway.release.source import Sources

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# admit(scope, owner, name, push) → the caller's account name; raises AuthenticationError, PermissionDenied, NotFound.
Admit = Callable[[Scope, str, str, bool], Awaitable[str]]
# pushed(owner, name, actor): called after every push, also one whose client went away meanwhile.
Pushed = Callable[[str, str, str], Awaitable[object]]

_PATH = re.compile(r".*?/git/(?P<owner>[^/]+)/(?P<name>[^/]+?)\.git/(?P<rest>.*)")
_SERVICES: Final = ("git-upload-pack", "git-receive-pack")
_CHUNK = 64 * 1024
_END_SECONDS = 5.0
_SPOOL = 1024 * 1024  # bytes of a body that are gathered before a write


class GitHttp:
    """Serves clones and pushes. A request's body is on disk before git starts; its reply streams as git prints it."""

    def __init__(self, sources: Sources, admit: Admit, internal_socket: str, pushed: Pushed | None = None) -> None:
        self._sources, self._admit, self._pushed = sources, admit, pushed
        self._internal_socket = internal_socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._serve(scope, receive, send)
        except SlipwayError as error:
            await _refuse(send, error)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        owner, name, rest = _parse(scope["path"])
        service = _service(scope, rest)
        push = service == "git-receive-pack"
        actor = await self._admit(scope, owner, name, push)
        if not self._sources.exists(owner, name):
            raise NoSuchAlgorithm("No such algorithm")
        with tempfile.TemporaryFile(dir=self._sources.git.directory) as body:
            if not await _spool(receive, body):
                return
            try:
                await self._answer(self._environment(scope, owner, name, rest, actor, body), body, receive, send)
            finally:
                if push and scope["method"] == "POST":
                    await self._announce(owner, name, actor)

    async def _announce(self, owner: str, name: str, actor: str) -> None:
        if self._pushed is not None:
            with contextlib.suppress(SlipwayError):
                await asyncio.shield(asyncio.ensure_future(self._pushed(owner, name, actor)))

    async def _answer(self, environment: dict[str, str], body: BinaryIO, receive: Receive, send: Send) -> None:
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=environment,
            stdin=body,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # so that git's own children end with it
            limit=_CHUNK,
        )
        assert process.stdout is not None
        replying = asyncio.create_task(_reply(process.stdout, send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait((replying, leaving), return_when=asyncio.FIRST_COMPLETED)
            if replying.done():
                await replying
        finally:
            for task in (replying, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError, SlipwayError):
                    await task
            await _end_group(process, at_once=replying.cancelled())

    def _environment(
        self, scope: Scope, owner: str, name: str, rest: str, actor: str, body: BinaryIO
    ) -> dict[str, str]:
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        wanted = {
            "GIT_PROJECT_ROOT": str(self._sources.git.directory),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{owner}/{name}.git/{rest}",
            "REQUEST_METHOD": scope["method"],
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(body.seek(0, os.SEEK_END)),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "REMOTE_USER": actor,
            "REMOTE_ADDR": (scope.get("client") or ("", 0))[0],
            "SLIPWAY_INTERNAL_SOCKET": self._internal_socket,
            "SLIPWAY_OWNER": owner,
            "SLIPWAY_NAME": name,
            "SLIPWAY_ACTOR": actor,
        }
        body.seek(0)
        return self._sources.git.environment(**{key: value for key, value in wanted.items() if value})


def _parse(path: str) -> tuple[str, str, str]:
    found = _PATH.fullmatch(path)
    if found is None:
        raise NoSuchAlgorithm("repositories are at /git/OWNER/NAME.git")
    return found["owner"], found["name"], found["rest"]


def _service(scope: Scope, rest: str) -> str:
    """The git service that is asked for: nothing else of a repository is served."""
    if scope["method"] == "POST" and rest in _SERVICES:
        return rest
    query = scope["query_string"].decode("latin-1").split("&")
    asked = [service for service in _SERVICES if f"service={service}" in query]
    if scope["method"] == "GET" and rest == "info/refs" and asked:
        return asked[0]
    raise InputError("only git's smart protocol is spoken here: use a git client")


async def _spool(receive: Receive, body: BinaryIO) -> bool:
    """Write the request's body to disk; False when the client went away before its end."""
    pending = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return False
        pending += message.get("body", b"")
        more = message.get("more_body", False)
        if pending and (len(pending) >= _SPOOL or not more):
            await asyncio.to_thread(body.write, pending)
            pending = bytearray()
        if not more:
            await asyncio.to_thread(body.flush)
            return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reply(output: asyncio.StreamReader, send: Send) -> None:
    try:
        head = await output.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise SlipwayError("git gave no answer") from error
    status, headers = _head(head)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    while chunk := await output.read(_CHUNK):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _head(head: bytes) -> tuple[int, Headers]:
    status, headers = 200, []
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        elif name:
            headers.append((name.lower(), value.strip()))
    return status, headers


async def _end_group(process: asyncio.subprocess.Process, at_once: bool) -> None:
    """See git to its end; with its children `at_once` where the client has gone."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL) if at_once else (0, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            if process.returncode is None and signal_number:
                os.killpg(process.pid, signal_number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
                return


async def _refuse(send: Send, error: SlipwayError) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if isinstance(error, AuthenticationError):
        headers.append((b"www-authenticate", b'Basic realm="Slipway", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{error}\n".encode()})
