"""The host process: keeps the replicas that gateways want, and runs what control's jobs ask for."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Coroutine
from typing import Any

from slipway.settings import Settings
from slipway.wire.channel import listen
from slipway.workers.fleet import Fleet, OnEvent
from slipway.workers.leases import Leases
from slipway.workers.memory import bytes_for_workers, machine_bytes
from slipway.workers.room import Room
from slipway.workers.sandbox.levels import Level
from slipway.workers.sessions import Session

_WATCH_SECONDS = 0.5
_ASK_SECONDS = 0.1

logger = logging.getLogger(__name__)


async def run(settings: Settings, level: Level, on_event: OnEvent = lambda *_: None) -> None:
    """Serve until SIGTERM; leaves no process behind. `on_event` hears of replicas that start, fail and exit.

    `level` is that of sandboxes, for which this process is prepared.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    host = Host(settings, level, on_event)
    try:
        host.listen(str(settings.host_socket))
        await stopping.wait()
    finally:
        await host.stop()


class Host:
    """Connections on one side, processes on the other."""

    def __init__(self, settings: Settings, level: Level, on_event: OnEvent) -> None:
        self._leases = Leases(self._background)
        self._room = Room(settings.host_memory_bytes or bytes_for_workers(machine_bytes()), self._relieve)
        self._fleet = Fleet(settings, level, self._room, on_event, self._leases.ended)
        self._zygote_idle_seconds = settings.zygote_idle_seconds
        self._leases.attach(self._fleet)
        self._asked_at = 0.0  # when gateways were last asked for idle replicas
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
        Session(connection, self._fleet, self._leases, self._room, self._background)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self._fleet.enforce_memory()
            await self._room.measure(self._fleet.known_as)
            self._room.relieve()
            self._leases.drop_stale_spares()
            self._drop_idle_parents()

    def _drop_idle_parents(self) -> None:
        """End zygotes, templates and sandboxes that had no worker for long."""
        stale = time.monotonic() - self._zygote_idle_seconds
        for since, _, end in [*self._fleet.templates.idle(), *self._fleet.nursery.idle()]:
            if since < stale:
                end()
        for since, end in self._fleet.sandboxes.idle():
            if since < stale:
                end()

    def _relieve(self, short: int) -> None:
        """Free so many bytes, or ask for it: what was not used for longest goes first, what gateways hold last."""
        fleet = self._fleet
        idle = [*fleet.templates.idle(), *fleet.nursery.idle(), *self._leases.idle()]
        for _, key, end in sorted(idle, key=lambda one: one[0]):
            if short <= 0:
                return
            short -= self._room.size(key)
            end()
        now = time.monotonic()
        if short > 0 and now - self._asked_at > _ASK_SECONDS:
            self._asked_at = now
            self._leases.reclaim(1 + short // self._room.usual_bytes)

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the host failed", exc_info=error)
