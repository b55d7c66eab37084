"""Starts workers: from an environment's zygote where it can be forked, as fresh processes elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from slipway.settings import Settings
from slipway.types import Version
from slipway.workers.preload import known_modules, remember_modules
from slipway.workers.replicas import HostedReplica
from slipway.workers.runtimes.install import install_runtimes
from slipway.workers.sandbox import kill_group, launch, worker_environment
from slipway.workers.zygotes import CannotFork, Zygote, ZygoteLost

_WORKER = "slipway.workers.runtimes.python.worker"

logger = logging.getLogger(__name__)

Exited = Callable[[HostedReplica, int], None]  # and its wait status


class Nursery:
    """All processes that this host has started for versions. `on_exit` hears of each one's end."""

    def __init__(self, settings: Settings, on_exit: Exited) -> None:
        self._environments = settings.environments_directory
        self._logs = settings.logs_directory
        self._runtime = install_runtimes(settings.runtimes_directory)
        self._on_exit = on_exit
        self._zygotes: dict[tuple[str, str], Zygote] = {}  # environment and owner; no owner where it is trusted
        self._threaded: set[str] = set()  # environments that cannot be forked from
        self._by_pid: dict[int, HostedReplica] = {}
        self._early: dict[int, int] = {}  # ends that came before the pid was known
        self._logs.mkdir(parents=True, exist_ok=True)

    @property
    def zygotes(self) -> int:
        """How many there are."""
        return len(self._zygotes)

    async def start(self, version: Version) -> HostedReplica:
        """A worker process for the version, not yet loaded. Raises OSError."""
        near, far = socket.socketpair()
        near.setblocking(False)
        replica = HostedReplica(version, near)
        with far, self._log(version).open("ab") as log:
            if not await self._fork(replica, far, log.fileno()):
                self._start_fresh(replica, far, log.fileno())
        self._by_pid[replica.pid] = replica
        if replica.pid in self._early:
            self._ended(replica.pid, self._early.pop(replica.pid), 0)
        return replica

    def learned(self, replica: HostedReplica) -> None:
        """Loading told which modules the environment's zygote should have."""
        digest = replica.version.environment
        modules = remember_modules(self._environments, digest, replica.modules)
        zygote = self._zygotes.get(_place(replica.version))
        if zygote is not None:
            zygote.preload(modules)

    def kill(self, replica: HostedReplica) -> None:
        """End a replica at once; its exit is reported as any other."""
        if replica.pid:
            kill_group(replica.pid)

    def stop(self) -> None:
        """Kill everything."""
        for replica in list(self._by_pid.values()):
            self.kill(replica)
            if replica.process is not None:
                replica.process.wait()
        for zygote in self._zygotes.values():
            zygote.stop()
        self._zygotes.clear()

    async def _fork(self, replica: HostedReplica, far: socket.socket, log: int) -> bool:
        version = replica.version
        if version.environment in self._threaded or version.resources.cpu > 1:
            return False
        try:
            replica.pid = await self._zygote(version).fork(replica.id, far, log)
        except CannotFork as reason:
            logger.warning("environment %s: %s; its workers start fresh", version.environment[:12], reason)
            self._threaded.add(version.environment)
            return False
        except (ZygoteLost, OSError) as error:
            logger.warning("environment %s has no zygote: %s", version.environment[:12], error)
            return False
        return True

    def _zygote(self, version: Version) -> Zygote:
        place = _place(version)
        zygote = self._zygotes.get(place)
        if zygote is None:
            log = self._logs / f"zygote-{version.environment[:12]}.log"
            zygote = self._zygotes[place] = Zygote(
                version.interpreter, self._runtime, log, self._ended, lambda: self._zygote_lost(place)
            )
            zygote.preload(known_modules(self._environments, version.environment))
        return zygote

    def _zygote_lost(self, place: tuple[str, str]) -> None:
        """Its workers were killed with it, and nobody is left to report them."""
        self._zygotes.pop(place, None)
        for pid, replica in list(self._by_pid.items()):
            if replica.process is None and _place(replica.version) == place:
                kill_group(pid)
                self._ended(pid, 9, 0)

    def _start_fresh(self, replica: HostedReplica, far: socket.socket, log: int) -> None:
        process = launch(
            [replica.version.interpreter, "-m", _WORKER],
            directory=self._runtime,
            environment=worker_environment(self._runtime),
            descriptors={3: far.fileno(), 1: log, 2: log},
        )
        replica.process, replica.pid = process, process.pid
        self._watch(process)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        loop, descriptor = asyncio.get_running_loop(), os.pidfd_open(process.pid)

        def ended() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            code = process.wait()
            self._ended(process.pid, -code if code < 0 else code << 8, 0)

        loop.add_reader(descriptor, ended)

    def _ended(self, pid: int, status: int, _peak: int) -> None:
        replica = self._by_pid.pop(pid, None)
        if replica is None:
            self._early[pid] = status
            return
        replica.connection.close()
        # What the worker left behind in its group ends with it.
        kill_group(pid)
        self._on_exit(replica, status)

    def _log(self, version: Version) -> Path:
        return self._logs / f"{version.owner}.{version.algorithm}.log"


def _place(version: Version) -> tuple[str, str]:
    return version.environment, "" if version.trusted else version.owner
