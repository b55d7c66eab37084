"""Content types as clients really send them: JSON that is called text, or nothing at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON = b"application/json"
# Client 2.0.5 calls a string text and bytes octets, whatever is in them.
_MISNAMED = (b"", b"text/plain", b"application/text", b"application/octet-stream")
_AS_THEY_ARE = ("/v1/data", "/v1/connector", "/git/")


class JsonUnlessSaidOtherwise:
    """ASGI middleware: the management API's bodies are JSON, whatever a client calls them; forms stay forms."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and not scope["path"].startswith(_AS_THEY_ARE):
            headers: list[tuple[bytes, bytes]] = scope["headers"]
            said = next((value for name, value in headers if name == b"content-type"), b"")
            if said.split(b";")[0].strip().lower() in _MISNAMED:
                others = [header for header in headers if header[0] != b"content-type"]
                scope = {**scope, "headers": [*others, (b"content-type", _JSON)]}
        await self._application(scope, receive, send)
