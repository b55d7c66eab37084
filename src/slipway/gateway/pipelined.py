"""Calls that were pipelined behind another request: the ASGI way to the same invoker."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from slipway.gateway.exchange import Exchange
from slipway.gateway.forward import Receive, Scope, Send
from slipway.gateway.invoke import Invoker
from slipway.gateway.replies import parsed


class Relay:
    """A reply, whole or in parts, on its way to ASGI. An outlet of streams."""

    def __init__(self) -> None:
        self._messages: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()

    def whole(self, response: bytes) -> None:
        """All of it at once."""
        head, _, body = response.partition(b"\r\n\r\n")
        self._start(head + b"\r\n\r\n")
        self.close_parts(body)

    def open_parts(self, lines: bytes) -> None:
        """The head of a reply with status 200."""
        self._start(b"HTTP/1.1 200 OK\r\n%b\r\n" % lines)

    def send_part(self, data: bytes) -> bool:
        """One part; when it is sent, the exchange is told so."""
        self._put({"type": "http.response.body", "body": data, "more_body": True})
        return False

    def close_parts(self, data: bytes) -> None:
        """The last part."""
        self._put({"type": "http.response.body", "body": data})

    async def send_all(self, send: Send, exchange: Exchange | None) -> None:
        """Send each as the client takes it, to the last."""
        more = True
        while more:
            await self._arrived.wait()
            self._arrived.clear()
            while self._messages:
                message = self._messages.popleft()
                await send(message)
                more = message["type"] != "http.response.body" or message.get("more_body", False)
            if exchange is not None:
                exchange.resume()

    def _start(self, head: bytes) -> None:
        status, headers, _ = parsed(head)
        self._put({"type": "http.response.start", "status": status, "headers": headers})

    def _put(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._arrived.set()


async def answer_call(invoker: Invoker, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one call."""
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    relay, exchange, body = Relay(), None, bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message.get("more_body", False)
        if len(body) > invoker.body_limit:
            invoker.too_large(target, scope["headers"], b"", relay.whole)
            break
    else:
        exchange = invoker.invoke(target, scope["headers"], bytes(body), b"", relay.whole, relay)
    leaving = asyncio.ensure_future(_abandon(receive, exchange))
    try:
        await relay.send_all(send, exchange)
    finally:
        leaving.cancel()


async def _abandon(receive: Receive, exchange: Exchange | None) -> None:
    """Give the call up when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    if exchange is not None:
        exchange.abandon()
