"""A process's standing connection to the host, which comes back by itself whenever the host does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from slipway.wire.channel import Channel, connect
from slipway.wire.messages import Join

_RETRY_SECONDS = 0.02


class HostLink:
    """Joins as soon as a host listens, and again whenever a new one does.

    `incoming` is the union of what the host may send. `on_open()` is called after each join, `on_lost()` once for each
    connection that ends by itself; `on_message(message, descriptors)` owns the descriptors it is given.
    """

    def __init__(
        self,
        path: Path,
        join: Join,
        incoming: Any,  # noqa: ANN401 - a union of message types
        on_message: Callable[[Any, list[int]], None],
        on_open: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._path, self._join, self._incoming = path, join, incoming
        self._on_message, self._on_open, self._on_lost = on_message, on_open, on_lost
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
        self._channel = Channel(connection, self._incoming, self._on_message, self._lost)
        self._channel.send(self._join)
        self._on_open()

    def stop(self) -> None:
        """Leave the host for good."""
        if self._retry is not None:
            self._retry.cancel()
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def send(self, message: msgspec.Struct, descriptors: Iterable[int] = ()) -> None:
        """Send; dropped while there is no host. Descriptors are duplicated."""
        if self._channel is not None:
            self._channel.send(message, descriptors)

    def _lost(self) -> None:
        self._channel = None
        self._on_lost()
        self.start()
