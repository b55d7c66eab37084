"""Calls between gateways, in frames of the worker protocol: to its peers, a gateway is a worker with unlimited credit.

A call that arrives where its version's queue is not is forwarded over a standing connection to the gateway that owns
the queue. The gateway at which the client called keeps the call's record; the owner writes none.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from slipway.errors import CallerGone, CapacityError, SlipwayError
from slipway.gateway.call import Call, Place, Stream
from slipway.gateway.outcomes import GATEWAY_LOST, failure_frame, outcome_from_error, reply_frame
from slipway.gateway.tasks import background
from slipway.routing.retry import may_try_again
from slipway.types import Version
from slipway.wire.frames import (
    ACCEPTED,
    CALL,
    CANCEL,
    CREDIT,
    ERROR,
    LOG,
    REPLY,
    STREAM_END,
    STREAM_ITEM,
    Decoder,
    Frame,
    ProtocolError,
    decode_fields,
    encode,
    encode_fields,
)

_RETRY_SECONDS = 0.02
_UNKNOWN_VERSION_SECONDS = 2.0  # how long a peer's feed may lag behind ours

Submit = Callable[[Call], None]
Grant = Callable[[Call, int], None]


class PeerLink(asyncio.Protocol):
    """The standing connection to one other gateway, and the calls that it has of ours."""

    def __init__(self, path: Path, reroute: Submit, max_body: int) -> None:
        self._path, self._reroute, self._max_body = path, reroute, max_body
        self._calls: dict[bytes, Call] = {}
        self._unsent: list[Call] = []
        self._transport: asyncio.Transport | None = None
        self._decoder = Decoder(max_body)
        self._closed = False
        self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        while not self._closed:
            try:
                await asyncio.get_running_loop().create_unix_connection(lambda: self, str(self._path))
                return
            except OSError:
                await asyncio.sleep(_RETRY_SECONDS)

    def submit(self, call: Call) -> None:
        """Forward the call now, or as soon as the peer answers."""
        if self._transport is None:
            self._unsent.append(call)
        else:
            self._send(call)

    def withdraw(self, call: Call) -> None:
        """The caller is gone: tell the peer."""
        if call in self._unsent:
            self._unsent.remove(call)
            call.refuse(CallerGone("the caller closed its connection"))
        elif call.id in self._calls and self._transport is not None:
            self._transport.write(encode(CANCEL, call.id))

    def grant(self, call: Call, items: int) -> None:
        """The caller takes so many more items of a stream: tell the peer."""
        if call.id in self._calls and call.stream is not None and self._transport is not None:
            call.stream.ahead += items
            self._transport.write(encode(CREDIT, call.id, encode_fields({"credit": str(items)})))

    def close(self) -> None:
        """The peer is no member any more: calls that it had not begun go elsewhere."""
        self._closed = True
        self._connecting.cancel()
        unsent, self._unsent = self._unsent, []
        if self._transport is not None:
            self._transport.abort()
        for call in unsent:
            self._reroute(call)

    def _send(self, call: Call) -> None:
        self._calls[call.id] = call
        fields = {
            "version": call.version.id,
            "content_type": call.content_type,
            "caller": call.caller,
            "arrived": repr(call.arrived),
            "deadline": repr(call.deadline),
            "key": call.key_id,
            **_placed(call.place),
        }
        if call.stream is not None:
            fields["stream"] = str(call.stream.ahead)
        assert self._transport is not None
        self._transport.write(encode(CALL, call.id, encode_fields(fields), call.body))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The peer is there."""
        self._transport = transport  # type: ignore[assignment]
        self._decoder = Decoder(self._max_body)
        unsent, self._unsent = self._unsent, []
        for call in unsent:
            self._send(call)

    def connection_lost(self, _error: Exception | None) -> None:
        """The peer is gone; what it had begun is lost, the rest is routed anew."""
        self._transport = None
        calls, self._calls = self._calls, {}
        if not self._closed:
            self._connecting = asyncio.ensure_future(self._connect())
        for call in calls.values():
            self._lost(call)

    def _lost(self, call: Call) -> None:
        if _may_try_again(call):
            call.try_again()
            self._reroute(call)
        elif call.begun:
            call.fail(GATEWAY_LOST)
        else:
            call.refuse(CapacityError("two gateways were lost before they took the call"))

    def data_received(self, data: bytes) -> None:
        """Frames from the peer."""
        try:
            for frame in self._decoder.feed(data):
                self._handle(frame)
        except (ProtocolError, KeyError, ValueError):
            if self._transport is not None:
                self._transport.abort()

    def _handle(self, frame: Frame) -> None:
        call = self._calls.get(frame.call)
        if call is None:
            return
        if frame.kind == ACCEPTED:
            call.begun = call.begun or time.monotonic()
            if frame.header and not call.started:
                call.started = True
                call.sink.started(call)
        elif frame.kind == LOG:
            call.output = frame.body
        elif frame.kind == STREAM_ITEM and call.stream is not None:
            call.stream.take(call, decode_fields(frame.header)["content_type"], frame.body)
        else:
            del self._calls[frame.call]
            self._settle(call, frame)

    @staticmethod
    def _settle(call: Call, frame: Frame) -> None:
        fields = decode_fields(frame.header)
        call.queue_us, call.duration_us = int(fields["queue_us"]), int(fields["us"])
        call.cpu_us, call.replica_id = int(fields["cpu_us"]), fields["replica"]
        call.cold_start = fields["cold"] == "1"
        if frame.kind == REPLY:
            call.succeed(fields["content_type"], frame.body)
            return
        if frame.kind == STREAM_END:
            call.end_stream()
            return
        outcome = outcome_from_error(fields, frame.body)
        if isinstance(outcome, SlipwayError):
            call.refuse(outcome)
        else:
            call.fail(outcome)


class PeerSession(asyncio.Protocol):
    """The other side: calls that another gateway, or control, hands to us. The sink of each of them."""

    def __init__(
        self,
        submit: Submit,
        route: Submit,
        withdraw: Submit,
        grant: Grant,
        find: Callable[[str], Version | None],
        max_body: int,
    ) -> None:
        self._submit, self._route, self._withdraw, self._grant, self._find = submit, route, withdraw, grant, find
        self._decoder = Decoder(max_body)
        self._calls: dict[bytes, Call] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has connected."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, _error: Exception | None) -> None:
        """The peer is gone, and its clients with it."""
        self._transport = None
        for call in list(self._calls.values()):
            self._withdraw(call)

    def data_received(self, data: bytes) -> None:
        """Frames from the peer."""
        try:
            for frame in self._decoder.feed(data):
                if frame.kind == CALL:
                    background(self._take(frame))
                elif frame.kind == CANCEL and (call := self._calls.get(frame.call)):
                    self._withdraw(call)
                elif frame.kind == CREDIT and (call := self._calls.get(frame.call)):
                    self._grant(call, int(decode_fields(frame.header)["credit"]))
        except (ProtocolError, KeyError, ValueError):
            if self._transport is not None:
                self._transport.abort()

    async def _take(self, frame: Frame) -> None:
        fields = decode_fields(frame.header)
        version = await self._version(fields["version"])
        if version is None:
            self._write(encode(ERROR, frame.call, failure_frame(CapacityError("the version is not known here yet"))))
            return
        arrived, deadline = float(fields["arrived"]), float(fields["deadline"])
        call = Call(frame.call, version, frame.body, fields["content_type"], fields["caller"], arrived, deadline, self)
        call.key_id, call.place = fields.get("key", ""), _place(fields)
        call.started = "route" in fields  # control has recorded that
        if "stream" in fields:
            call.stream = Stream(self, int(fields["stream"]))
        self._calls[call.id] = call
        # Control does not know whose the version is; a gateway does, and has chosen this one.
        if "route" in fields:
            self._route(call)
        else:
            self._submit(call)

    async def _version(self, version_id: str) -> Version | None:
        patience = time.monotonic() + _UNKNOWN_VERSION_SECONDS
        while (version := self._find(version_id)) is None and time.monotonic() < patience:
            await asyncio.sleep(_RETRY_SECONDS)
        return version

    def accepted(self, call: Call) -> None:
        """Pass on that a worker has begun the call; one that nobody waits for any more is not to go on."""
        if call.done:
            self._withdraw(call)
        self._write(encode(ACCEPTED, call.id))

    def item(self, call: Call, content_type: str, body: bytes) -> None:
        """Pass on one item."""
        self._write(encode(STREAM_ITEM, call.id, encode_fields({"content_type": content_type}), body))

    def started(self, call: Call) -> None:
        """Have the gateway that keeps the call's record write its start."""
        self._write(encode(ACCEPTED, call.id, encode_fields({"started": "1"})))

    def completed(self, call: Call) -> None:
        """Pass on the outcome."""
        self._calls.pop(call.id, None)
        if call.output:
            self._write(encode(LOG, call.id, b"", call.output))
        self._write(reply_frame(call))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _may_try_again(call: Call) -> bool:
    """Only the lost gateway knew what a call below another one has called; of a root it has told that it did."""
    return may_try_again(
        accepted=call.begun > 0,
        retried=call.retried,
        idempotent=call.version.scaling.idempotent,
        called_others=call.started or call.place is not None,
    )


def _placed(place: Place | None) -> dict[str, str]:
    if place is None:
        return {}
    tree = {"root": place.root_id.hex(), "parent": place.parent_id.hex(), "origin": place.origin}
    return {**tree, "depth": str(place.depth)}


def _place(fields: dict[str, str]) -> Place | None:
    if "root" not in fields:
        return None
    root_id, parent_id = bytes.fromhex(fields["root"]), bytes.fromhex(fields["parent"])
    return Place(root_id, parent_id, fields["origin"], int(fields["depth"]))


class Peers:
    """All links to other gateways, and the socket on which they reach this one."""

    def __init__(self, directory: Path, name: str, submit: Submit, max_body: int) -> None:
        self._directory, self._name, self._submit, self._max_body = directory, name, submit, max_body
        self._links: dict[str, PeerLink] = {}
        self._server: asyncio.AbstractServer | None = None

    async def listen(
        self, submit: Submit, withdraw: Submit, grant: Grant, find: Callable[[str], Version | None]
    ) -> None:
        """Take calls that peers hand over."""
        path = self._path(self._name)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: PeerSession(submit, self._submit, withdraw, grant, find, self._max_body), str(path)
        )
        path.chmod(0o600)

    def submit(self, gateway: str, call: Call) -> None:
        """Forward a call to the gateway that owns its version."""
        link = self._links.get(gateway)
        if link is None:
            link = self._links[gateway] = PeerLink(self._path(gateway), self._submit, self._max_body)
        link.submit(call)

    def withdraw(self, call: Call) -> None:
        """The caller is gone."""
        for link in self._links.values():
            link.withdraw(call)

    def grant(self, call: Call, items: int) -> None:
        """The caller takes so many more items of a stream."""
        for link in self._links.values():
            link.grant(call, items)

    def members(self, names: tuple[str, ...]) -> None:
        """Drop the links to gateways that are gone."""
        for name in [name for name in self._links if name not in names]:
            self._links.pop(name).close()

    def close(self) -> None:
        """Close every link and the listening socket."""
        self.members(())
        if self._server is not None:
            self._server.close()

    def _path(self, gateway: str) -> Path:
        return self._directory / f"{gateway}.sock"
