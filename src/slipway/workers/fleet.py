"""All replicas of this host: how they start, what they may take, how they end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from slipway.ids import new_id
from slipway.settings import Settings
from slipway.types import AlgorithmFailure, Version
from slipway.workers.callouts import ControlDoor
from slipway.workers.conversation import Conversation
from slipway.workers.ends import explain, over_limit, stopped
from slipway.workers.nursery import Nursery
from slipway.workers.processes import WorkerProcess
from slipway.workers.replicas import HostedReplica, LoadFailed, WorkerEnded

_LAST_WORDS_SECONDS = 1.0  # between the end of a worker's socket and the news of its exit

# verb, resource (owner/name), outcome, detail
OnEvent = Callable[[str, str, str, dict[str, Any]], None]
OnExit = Callable[[HostedReplica, AlgorithmFailure], None]


class Fleet:
    """Every worker that lives, by replica id. `on_exit` hears of the end of each that had loaded."""

    def __init__(self, settings: Settings, on_event: OnEvent, on_exit: OnExit) -> None:
        self._nursery = Nursery(settings)
        self._on_event, self._on_exit = on_event, on_exit
        self._control = ControlDoor(settings.internal_socket, settings.reply_limit_bytes)
        self.replicas: dict[str, HostedReplica] = {}

    @property
    def zygotes(self) -> int:
        """How many there are."""
        return self._nursery.zygotes

    async def start(self, version: Version) -> HostedReplica:
        """A loaded replica. Raises LoadFailed. Cancelled, it leaves no process."""
        started = time.monotonic()
        try:
            replica = await self._loaded(version, started)
        except LoadFailed as error:
            detail = {"version": version.id, "reason": str(error)[:2000], "error_type": error.failure.error_type}
            self._on_event("replica.start", _resource(version), "failed", detail)
            raise
        self._nursery.learned(version, replica.modules)
        detail = {"version": version.id, "replica": replica.id, "seconds": f"{replica.cold_start_seconds:.3f}"}
        self._on_event("replica.start", _resource(version), "done", detail)
        return replica

    def kill(self, replica: HostedReplica, why: AlgorithmFailure | None = None) -> None:
        """End a replica at once. Its calls, if it has any, are answered with `why`, or with how it exited."""
        replica.doom = replica.doom or why
        replica.process.kill()

    async def last_words(self, replica: HostedReplica, error: WorkerEnded) -> AlgorithmFailure:
        """Why a worker does not answer: what the host did to it, what the kernel says, or what it sent."""
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await replica.process.ended.wait()
        except TimeoutError:
            return AlgorithmFailure(error_type="SystemExit", message=f"the worker broke the protocol: {error}")
        return replica.doom or explain(replica.process, replica.version.resources.memory_bytes)

    def enforce_memory(self) -> None:
        """End replicas that hold more than they may."""
        for replica in list(self.replicas.values()):
            limit = replica.version.resources.memory_bytes
            if replica.doom is None and replica.process.memory_bytes() > limit:
                self.kill(replica, over_limit(limit))

    def drop_idle_zygotes(self) -> None:
        """End zygotes that nobody needs."""
        self._nursery.drop_idle()

    def stop(self) -> None:
        """Kill everything."""
        for replica in list(self.replicas.values()):
            self.kill(replica, stopped("its host ended"))
        self._nursery.stop()

    async def _loaded(self, version: Version, started: float) -> HostedReplica:
        replica = await self._born(version)
        try:
            await replica.load(started)
        except WorkerEnded as error:
            raise LoadFailed(await self._loading_end(replica, error), replica.output) from error
        except LoadFailed as error:
            raise LoadFailed(replica.doom or error.failure, error.output) from error
        finally:
            if replica.state == "starting":
                self.kill(replica)
        return replica

    async def _born(self, version: Version) -> HostedReplica:
        name = new_id()
        process = WorkerProcess(lambda: self._exited(name))
        try:
            connection = await self._nursery.start(version, name, process)
        except OSError as error:
            message = f"no worker could be started: {error}"
            raise LoadFailed(AlgorithmFailure(error_type="LoadingError", message=message)) from error
        replica = self.replicas[name] = HostedReplica(name, version, process, Conversation(connection), self._control)
        if process.ended.is_set():
            self._exited(name)
        return replica

    async def _loading_end(self, replica: HostedReplica, error: WorkerEnded) -> AlgorithmFailure:
        why = await self.last_words(replica, error)
        if why.error_type != "SystemExit":
            return why
        return AlgorithmFailure(error_type="LoadingError", message=f"{why.message} while it loaded")

    def _exited(self, name: str) -> None:
        replica = self.replicas.pop(name, None)
        if replica is None:
            return
        replica.talk.close()
        if replica.state == "starting":
            return  # whoever waits for it to load reports the failure
        why = replica.doom or explain(replica.process, replica.version.resources.memory_bytes)
        detail = {"version": replica.version.id, "replica": name, "reason": why.message, "error_type": why.error_type}
        self._on_event("replica.exit", _resource(replica.version), "done", detail)
        self._on_exit(replica, why)


def _resource(version: Version) -> str:
    return f"{version.owner}/{version.algorithm}"
