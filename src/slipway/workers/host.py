"""The host process: keeps the replicas that gateways want, and runs what control's jobs ask for."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Coroutine
from typing import Any

from slipway.settings import Settings
from slipway.wire.channel import listen
from slipway.workers.fleet import Fleet, OnEvent
from slipway.workers.leases import Leases
from slipway.workers.sessions import Session

_WATCH_SECONDS = 0.5

logger = logging.getLogger(__name__)


async def run(settings: Settings, on_event: OnEvent = lambda *_: None) -> None:
    """Serve until SIGTERM; leaves no process behind. `on_event` hears of replicas that start, fail and exit."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    host = Host(settings, on_event)
    try:
        host.listen(str(settings.host_socket))
        await stopping.wait()
    finally:
        await host.stop()


class Host:
    """Connections on one side, processes on the other."""

    def __init__(self, settings: Settings, on_event: OnEvent) -> None:
        self._leases = Leases(self._background)
        self._fleet = Fleet(settings, on_event, self._leases.ended)
        self._leases.attach(self._fleet)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: socket.socket | None = None

    def listen(self, path: str) -> None:
        """Take connections."""
        self._server = listen(path)
        asyncio.get_running_loop().add_reader(self._server.fileno(), self._accept)
        self._background(self._watch())

    async def stop(self) -> None:
        """End everything, jobs included."""
        if self._server is not None:
            asyncio.get_running_loop().remove_reader(self._server.fileno())
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self._fleet.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self) -> None:
        assert self._server is not None
        try:
            connection, _ = self._server.accept()
        except OSError as error:
            logger.warning("a connection could not be taken: %s", error)
            return
        Session(connection, self._fleet, self._leases, self._background)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self._fleet.enforce_memory()
            self._leases.drop_stale_spares()
            self._fleet.drop_idle_zygotes()

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the host failed", exc_info=error)
