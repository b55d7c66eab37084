"""Bodies that are held in memory are small; files and pushes, which are not held, may have any size."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from slipway.control.errors import response
from slipway.errors import TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 1 << 20
_EXPLANATION = f"the body is larger than {MOST_BYTES} bytes"


class BoundedBodies:
    """ASGI middleware: answers 413 where a body that would be held is too large, whatever its length was said to be."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or _is_streamed(scope):
            await self._application(scope, receive, send)
        elif _said_length(scope) > MOST_BYTES:
            await response(TooLarge(_EXPLANATION))(scope, receive, send)
        else:
            await self._application(scope, _counted(receive), send)


def _counted(receive: Receive) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MOST_BYTES:
            raise HTTPException(TooLarge.status, _EXPLANATION)
        return message

    return bounded


def _is_streamed(scope: Scope) -> bool:
    path: str = scope["path"]
    upload = scope["method"] == "PUT" and path.startswith(("/v1/data/", "/v1/connector/"))
    return upload or path.startswith("/git/")


def _said_length(scope: Scope) -> int:
    said = dict(scope["headers"]).get(b"content-length", b"0")
    return int(said) if said.isdigit() else 0
