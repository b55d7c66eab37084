"""Starts workers: from an environment's zygote where it can be forked, as fresh processes elsewhere."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from slipway.settings import Settings
from slipway.types import Version
from slipway.workers.preload import known_modules, remember_modules
from slipway.workers.processes import WorkerProcess, follow
from slipway.workers.runtimes.install import install_runtimes
from slipway.workers.sandbox import launch, worker_environment
from slipway.workers.zygotes import CannotFork, Zygote, ZygoteLost

_WORKER = "slipway.workers.runtimes.python.worker"
_LOG_BYTES = 10 * 2**20
_ZYGOTE_IDLE_SECONDS = 900.0

logger = logging.getLogger(__name__)


class Nursery:
    """The zygotes of this host, and the way to a new process."""

    def __init__(self, settings: Settings) -> None:
        self._environments = settings.environments_directory
        self._logs = settings.logs_directory
        self._runtime = install_runtimes(settings.runtimes_directory)
        self._zygotes: dict[tuple[str, str], Zygote] = {}  # environment and owner; no owner where it is trusted
        self._unforkable: set[str] = set()  # environments
        self._logs.mkdir(parents=True, exist_ok=True)

    @property
    def zygotes(self) -> int:
        """How many there are."""
        return len(self._zygotes)

    async def start(self, version: Version, name: str, process: WorkerProcess) -> socket.socket:
        """Have `process` born for the version, waiting for its hello; the platform's end of its socket. Raises OSError.

        `name` is the replica's.
        """
        near, far = socket.socketpair()
        near.setblocking(False)
        try:
            with far, _open_log(self._logs / f"{version.owner}.{version.algorithm}.log") as log:
                if not await self._fork(version, name, process, far, log):
                    self._start_fresh(version, process, far, log)
        except BaseException:
            near.close()
            process.kill()
            raise
        return near

    def learned(self, version: Version, modules: Sequence[str]) -> None:
        """Loading told which modules the environment's zygote should have."""
        known = remember_modules(self._environments, version.environment, modules)
        zygote = self._zygotes.get(_place(version))
        if zygote is not None:
            zygote.preload(known)

    def drop_idle(self) -> None:
        """End zygotes that have had no worker for a quarter of an hour."""
        stale = time.monotonic() - _ZYGOTE_IDLE_SECONDS
        for place, zygote in list(self._zygotes.items()):
            if zygote.idle_since is not None and zygote.idle_since < stale:
                del self._zygotes[place]
                zygote.stop()

    def stop(self) -> None:
        """Kill all zygotes, and with them the workers that they forked."""
        for zygote in self._zygotes.values():
            zygote.stop()
        self._zygotes.clear()

    async def _fork(
        self, version: Version, name: str, process: WorkerProcess, far: socket.socket, log: BinaryIO
    ) -> bool:
        if version.environment in self._unforkable or version.resources.cpu > 1:
            return False
        try:
            await self._zygote(version).fork(name, process, far, log.fileno())
        except CannotFork as reason:
            logger.warning("environment %s: %s; its workers start fresh", version.environment[:12], reason)
            self._unforkable.add(version.environment)
            return False
        except (ZygoteLost, OSError) as error:
            logger.warning("environment %s has no zygote: %s", version.environment[:12], error)
            return False
        return True

    def _zygote(self, version: Version) -> Zygote:
        place = _place(version)
        zygote = self._zygotes.get(place)
        if zygote is None:
            with _open_log(self._logs / f"zygote-{version.environment[:12]}.log") as log:
                zygote = Zygote(version.interpreter, self._runtime, log.fileno(), lambda: self._lost(place))
            self._zygotes[place] = zygote
            zygote.preload(known_modules(self._environments, version.environment))
        return zygote

    def _lost(self, place: tuple[str, str]) -> None:
        logger.warning("the zygote of environment %s ended", place[0][:12])
        self._zygotes.pop(place, None)

    def _start_fresh(self, version: Version, process: WorkerProcess, far: socket.socket, log: BinaryIO) -> None:
        started = launch(
            [version.interpreter, "-m", _WORKER],
            directory=self._runtime,
            environment=worker_environment(self._runtime),
            descriptors={0: far.fileno(), 3: far.fileno(), 1: log.fileno(), 2: log.fileno()},
        )
        follow(started, process)


def _open_log(path: Path) -> BinaryIO:
    """To append to; what is too long already is kept aside once."""
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.rename(path.with_suffix(".log.1"))
    return path.open("ab")


def _place(version: Version) -> tuple[str, str]:
    return version.environment, "" if version.trusted else version.owner
