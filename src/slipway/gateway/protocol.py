"""uvicorn's HTTP protocol with a short cut: calls never become ASGI requests.

A request to the invoke path goes from the parser straight to the invoker, and its reply straight to the transport. A
request whose head has the bytes of an earlier one's is not even parsed: what these say is known.
A connection on which hosted data is about to move is passed on to control.
Everything else, and a call that was pipelined behind another request, takes uvicorn's own way to the ASGI application.
"""

from __future__ import annotations

import time

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slipway.gateway.exchange import Exchange
from slipway.gateway.forward import open_tunnel
from slipway.gateway.invoke import Invoker
from slipway.gateway.passing import is_transfer, pass_on, request_head
from slipway.gateway.tasks import background
from slipway.settings import Settings

_PREFIX = b"/v1/algo/"


class _NoEvent:
    """Stands where uvicorn expects the event of a request body; nobody waits for ours."""

    def set(self) -> None:
        """Nothing to wake."""


_NO_EVENT = _NoEvent()


class FastCycle:
    """What uvicorn wants to know of a request in progress."""

    __slots__ = ("disconnected", "exchange", "keep_alive", "message_event", "refused", "response_complete")

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.message_event = _NO_EVENT
        self.exchange: Exchange | None = None
        self.refused = False  # the rest of the body is not wanted


class GatewayProtocol(HttpToolsProtocol):
    """One client connection. `invoker` and `settings` are set on a subclass by `bound_protocol`."""

    invoker: Invoker
    settings: Settings
    _fast: FastCycle | None = None  # the request whose body is being read
    _open: FastCycle | None = None  # the one that has no reply yet
    _chunks: list[bytes]
    _size = 0
    _between = True  # the parser has nothing of a request
    _head = b""  # of the request that came in one piece, while the parser has it
    _whole = 0  # how long its body is then
    _framed = True  # a reply in parts is chunked, as HTTP/1.0 does not know it
    _passing = False  # the connection is on its way to control
    idle_since = 0.0

    # --- parser callbacks -------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Prepare for either way; the ASGI scope is only made when it is needed."""
        self._between = False
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._fast = None

    def on_headers_complete(self) -> None:
        """Choose the way."""
        parser = self.parser
        is_call = self.url.startswith(_PREFIX) and parser.get_method() == b"POST"
        alone = self.cycle is None or self.cycle.response_complete
        if is_call and alone and not parser.should_upgrade() and not self._passing:
            self._begin_fast(parser.should_keep_alive() and parser.get_http_version() != "1.0")
            return
        if alone and not self._passing and self._may_pass_on():
            self._begin_passing()
        if self._passing:
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Collect a call's body, up to the limit."""
        cycle = self._fast
        if self._passing:
            self._chunks.append(body)
        elif cycle is None:
            super().on_body(body)
        elif not cycle.refused:
            self._size += len(body)
            self._chunks.append(body)
            if self._size > self.invoker.body_limit:
                self._refuse_body(cycle)

    def on_message_complete(self) -> None:
        """The request is whole."""
        cycle = self._fast
        if self._passing:
            return
        self._between = True
        if cycle is None:
            super().on_message_complete()
            return
        self._fast = None
        if not cycle.refused:
            chunks, self._chunks = self._chunks, []
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            head = self._head if cycle.keep_alive and len(body) == self._whole else b""
            extra = self._extra(cycle)
            cycle.exchange = self.invoker.invoke(self.url, self.headers, body, extra, self._reply, self, head)

    # --- asyncio ----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes from the client: most often a whole request like the one before."""
        if self._between:
            end = data.find(b"\r\n\r\n") + 4
            self._head, self._whole = data[:end], len(data) - end
            head = self.invoker.known(self._head)
            if head is not None and head.length == self._whole and (self.cycle is None or self.cycle.response_complete):
                self._unset_keepalive_if_required()
                self._open = cycle = FastCycle(keep_alive=True)
                self.cycle = cycle  # type: ignore[assignment]
                cycle.exchange = self.invoker.invoke_known(head, data[end:], self.date_lines(), self._reply)
                return
        super().data_received(data)
        self._head = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: its call gives up its place."""
        cycle, self._open = self._open, None
        super().connection_lost(exc)
        if cycle is not None and cycle.exchange is not None:
            cycle.exchange.abandon()

    def resume_writing(self) -> None:
        """The client has taken most of what was written."""
        super().resume_writing()
        cycle = self._open
        if cycle is not None and cycle.exchange is not None:
            cycle.exchange.resume()

    def _should_upgrade_to_ws(self) -> bool:
        return True

    def handle_websocket_upgrade(self) -> None:
        """Hand the whole connection to control."""
        self.connections.discard(self)
        lines = [b"%b %b HTTP/1.1\r\n" % (self.parser.get_method(), self.url)]
        lines += [b"%b: %b\r\n" % header for header in self.headers]
        head = b"".join([*lines, b"\r\n"])
        background(open_tunnel(self.settings.control_socket, self.transport, head))

    # --- hosted data ------------------------------------------------------------------------------------------------

    def _may_pass_on(self) -> bool:
        if self.scheme != "http" or self.invoker.answers_origin(self.headers):
            return False  # what encrypts the connection, or adds to its replies, is in this process
        return is_transfer(self.parser.get_method(), self.url, self.headers)

    def _begin_passing(self) -> None:
        """Read no more; what the parser has in hand of the body still comes, before the loop's next turn."""
        self.transport.pause_reading()
        self._passing, self._chunks = True, [request_head(self.parser.get_method(), self.url, self.headers)]
        self.loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        self.connections.discard(self)
        background(pass_on(self.settings.passing_socket, self.transport, b"".join(self._chunks)))

    # --- replies ----------------------------------------------------------------------------------------------------

    def _begin_fast(self, keep_alive: bool) -> None:
        self._chunks, self._size = [], 0
        self._fast = self._open = cycle = FastCycle(keep_alive)
        self.cycle = cycle  # type: ignore[assignment]
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        if length.isdigit() and int(length) > self.invoker.body_limit:
            self._refuse_body(cycle)
        elif self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse_body(self, cycle: FastCycle) -> None:
        cycle.refused, cycle.keep_alive = True, False
        self._chunks = []
        self.invoker.too_large(self.url, self.headers, self._extra(cycle), self._reply)

    def _extra(self, cycle: FastCycle) -> bytes:
        extra = self.date_lines()
        return extra if cycle.keep_alive else extra + b"connection: close\r\n"

    def date_lines(self) -> bytes:
        """uvicorn's default header lines, rendered once a second for all connections."""
        headers = self.server_state.default_headers
        rendered = type(self)._rendered
        if rendered[0] is not headers:
            rendered = (headers, b"".join(b"%b: %b\r\n" % header for header in headers))
            type(self)._rendered = rendered
        return rendered[1]

    _rendered: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")

    def _reply(self, data: bytes) -> None:
        cycle = self._open
        if cycle is None or self.transport.is_closing():
            return
        self._open = None
        self.transport.write(data)
        cycle.response_complete = True
        cycle.exchange = None
        self.server_state.total_requests += 1
        self.idle_since = time.monotonic()
        if not cycle.keep_alive:
            self.transport.close()
        elif self.pipeline:
            self.on_response_complete()

    # --- replies in parts -------------------------------------------------------------------------------------------

    def open_parts(self, lines: bytes) -> None:
        """Send the head. To a client of HTTP/1.0, the end of the connection is the end of the reply."""
        if self._open is not None:
            self._framed = self.parser.get_http_version() != "1.0"
            framing = b"transfer-encoding: chunked\r\n" if self._framed else b""
            self.transport.write(b"HTTP/1.1 200 OK\r\n%b%b\r\n" % (lines, framing))

    def send_part(self, data: bytes) -> bool:
        """Send a part; whether the client takes more at once."""
        if self._open is None or self.transport.is_closing():
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._framed else data)
        return not self.flow.write_paused

    def close_parts(self, data: bytes) -> None:
        """Send the last part."""
        self._reply(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if self._framed else data)


def bound_protocol(invoker: Invoker, settings: Settings) -> type[GatewayProtocol]:
    """The protocol class that uvicorn makes connections of."""
    return type("BoundProtocol", (GatewayProtocol,), {"invoker": invoker, "settings": settings})
