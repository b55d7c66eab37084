"""One connection of the host, from its Join to its end."""

from __future__ import annotations

import asyncio
import os
import socket

from slipway.wire.channel import Channel
from slipway.wire.messages import Cancel, Check, Discard, Inspect, Join, Run, ToHost, Want
from slipway.workers.fleet import Fleet
from slipway.workers.gateways import ConnectedGateway
from slipway.workers.leases import Leases
from slipway.workers.requests import Background, Requests
from slipway.workers.room import Room


class Session:
    """Turns messages into calls: those of a gateway go to the leases, those of control are requests."""

    def __init__(
        self, connection: socket.socket, fleet: Fleet, leases: Leases, room: Room, background: Background
    ) -> None:
        self._leases = leases
        self._gateway: ConnectedGateway | None = None
        self._channel = Channel(connection, ToHost, self._received, self._lost)
        self._requests = Requests(self._channel, fleet, leases, room, background)

    def _received(self, message: ToHost, descriptors: list[int]) -> None:
        if isinstance(message, Run) and len(descriptors) == 1:
            self._requests.run(message, descriptors.pop())
        elif isinstance(message, Join):
            self._joined(message)
        elif self._gateway is not None and isinstance(message, Want):
            self._leases.want(self._gateway, message)
        elif self._gateway is not None and isinstance(message, Discard):
            self._leases.discard(self._gateway, message)
        elif isinstance(message, Check):
            self._requests.check(message)
        elif isinstance(message, Inspect):
            self._requests.inspect(message)
        elif isinstance(message, Cancel):
            self._requests.cancel(message.request)
        for descriptor in descriptors:
            os.close(descriptor)

    def _joined(self, message: Join) -> None:
        if message.role == "gateway" and self._gateway is None:
            self._gateway = self._leases.joined(message.name, self._channel)

    def _lost(self) -> None:
        # Noticed perhaps while something is sent to it: whoever does that must not find the world changed after.
        asyncio.get_running_loop().call_soon(self._closed)

    def _closed(self) -> None:
        self._requests.cancel_all()
        if self._gateway is not None:
            self._leases.left(self._gateway)
