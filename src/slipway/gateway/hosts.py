"""The gateway's link to the host: it asks for replicas and is leased them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from slipway.wire.channel import Channel, connect
from slipway.wire.messages import Exited, Join, Lease, Members, StartFailed, ToGateway

if TYPE_CHECKING:
    from slipway.gateway.dispatch import Dispatcher

_RETRY_SECONDS = 0.02


class HostLink:
    """A connection that comes back by itself whenever the host does."""

    def __init__(self, path: Path, name: str, dispatcher: Dispatcher) -> None:
        self._path, self._name, self._dispatcher = path, name, dispatcher
        self._channel: Channel | None = None
        self._retry: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        """Whether a host is there."""
        return self._channel is not None

    def start(self) -> None:
        """Connect now, or as soon as a host listens."""
        try:
            connection = connect(str(self._path))
        except OSError:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.start)
            return
        self._channel = Channel(connection, ToGateway, self._received, self._lost)
        self._channel.send(Join(role="gateway", name=self._name))
        self._dispatcher.host_back()

    def stop(self) -> None:
        """Leave the host: it takes the replicas back."""
        if self._retry is not None:
            self._retry.cancel()
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def send(self, message: msgspec.Struct) -> None:
        """Send, or drop while there is no host: the dispatcher repeats its wants when one is back."""
        if self._channel is not None:
            self._channel.send(message)

    def _received(self, message: ToGateway, descriptors: list[int]) -> None:
        if isinstance(message, Lease) and len(descriptors) == 1:
            self._dispatcher.leased(message, descriptors.pop())
        elif isinstance(message, Members):
            self._dispatcher.members(message)
        elif isinstance(message, Exited):
            self._dispatcher.exited(message)
        elif isinstance(message, StartFailed):
            self._dispatcher.start_failed(message)
        for descriptor in descriptors:
            os.close(descriptor)

    def _lost(self) -> None:
        self._channel = None
        self._dispatcher.host_lost()
        self.start()
