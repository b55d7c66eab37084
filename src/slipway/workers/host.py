"""The host process: keeps the replicas that gateways want, and runs what control's jobs ask for."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

from slipway.settings import Settings
from slipway.types import AlgorithmFailure, Version
from slipway.wire.channel import Channel, listen
from slipway.wire.messages import (
    Cancel,
    Check,
    Checked,
    Discard,
    Inspect,
    Inspected,
    Join,
    Members,
    Replica,
    Run,
    ToHost,
    Want,
)
from slipway.workers.commands import run_command
from slipway.workers.gateways import BackOff, ConnectedGateway
from slipway.workers.nursery import Nursery
from slipway.workers.replicas import HostedReplica, LoadFailed
from slipway.workers.zygotes import describe_exit

_WATCH_SECONDS = 0.5
_SPARE_SECONDS = 60.0  # how long a replica that nobody wants is kept

OnEvent = Callable[[str, str, str, dict[str, str]], None]  # verb, resource, outcome, detail


async def run(settings: Settings, on_event: OnEvent) -> None:
    """Serve until SIGTERM; leaves no process behind."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    host = Host(settings, on_event)
    try:
        host.listen(str(settings.host_socket))
        await stopping.wait()
    finally:
        host.stop()


class Host:
    """Connections on one side, processes on the other."""

    def __init__(self, settings: Settings, on_event: OnEvent) -> None:
        self._nursery = Nursery(settings, self._exited)
        self._on_event = on_event
        self._gateways: dict[str, ConnectedGateway] = {}
        self._spares: dict[str, tuple[HostedReplica, float]] = {}  # by replica id; idle since
        self._replicas: dict[str, HostedReplica] = {}
        self._back_off = BackOff()
        self._requests: dict[str, asyncio.Task[None]] = {}  # of control, by request
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: socket.socket | None = None

    def listen(self, path: str) -> None:
        """Take connections."""
        self._server = listen(path)
        asyncio.get_running_loop().add_reader(self._server.fileno(), self._accept)
        self._spawn(self._watch())

    def stop(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        self._nursery.stop()
        if self._server is not None:
            self._server.close()

    # --- connections ------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self._server is not None
        connection, _ = self._server.accept()
        _Session(self, connection)

    def joined(self, name: str, channel: Channel) -> ConnectedGateway:
        """A gateway has connected."""
        gateway = self._gateways[name] = ConnectedGateway(name, channel)
        self._announce()
        return gateway

    def left(self, gateway: ConnectedGateway) -> None:
        """A gateway is gone: its idle replicas are kept for others, the busy ones replaced."""
        if self._gateways.get(gateway.name) is gateway:
            del self._gateways[gateway.name]
        for replica in list(gateway.replicas.values()):
            replica.holder = ""
            self._spawn(self._take_back(replica))
        gateway.replicas.clear()
        self._announce()

    def _announce(self) -> None:
        members = Members(names=tuple(sorted(self._gateways)))
        for gateway in self._gateways.values():
            gateway.channel.send(members)

    async def _take_back(self, replica: HostedReplica) -> None:
        if await replica.proves_idle():
            self._keep_spare(replica)
        else:
            self._nursery.kill(replica)

    def _keep_spare(self, replica: HostedReplica) -> None:
        replica.state, replica.holder = "idle", ""
        self._spares[replica.id] = (replica, time.monotonic())
        for gateway in self._gateways.values():
            self.reconcile(gateway, replica.version.id)

    # --- what gateways want -----------------------------------------------------------------------------------------

    def want(self, gateway: ConnectedGateway, message: Want) -> None:
        """Take a new level."""
        if message.replicas:
            gateway.wants[message.version.id] = message
        else:
            gateway.wants.pop(message.version.id, None)
        self.reconcile(gateway, message.version.id)

    def discard(self, gateway: ConnectedGateway, message: Discard) -> None:
        """The gateway will not use this replica again."""
        replica = gateway.replicas.pop(message.replica, None)
        if replica is None:
            return
        replica.holder = ""
        if message.cause == "surplus":
            self._spawn(self._take_back(replica))
            return
        if message.cause == "timeout":
            replica.doom = AlgorithmFailure(error_type="TimeoutError", message="the call before took too long")
        self._nursery.kill(replica)
        self.reconcile(gateway, replica.version.id)

    def reconcile(self, gateway: ConnectedGateway, version_id: str) -> None:
        """Lease spares and start workers until the gateway has what it wants."""
        missing = gateway.missing(version_id)
        for replica, _ in [spare for spare in self._spares.values() if spare[0].version.id == version_id]:
            if missing > 0:
                del self._spares[replica.id]
                gateway.lease(replica)
                missing -= 1
        if missing > 0 and not self._back_off.waits(version_id):
            for _ in range(missing):
                gateway.starting[version_id] = gateway.starting.get(version_id, 0) + 1
                self._spawn(self._start_for(gateway, gateway.wants[version_id].version))

    async def _start_for(self, gateway: ConnectedGateway, version: Version) -> None:
        failure = None
        replica = None
        try:
            replica = await self._start(version)
        except LoadFailed as error:
            failure = error.failure
        gateway.starting[version.id] -= 1
        if failure is not None:
            retry = self._back_off.failed(version.id)
            gateway.start_failed(version, failure, retry)
            asyncio.get_running_loop().call_later(retry + 0.01, self._retry, gateway, version.id)
        elif replica is not None:
            self._place(gateway, replica)

    def _place(self, gateway: ConnectedGateway, replica: HostedReplica) -> None:
        if not gateway.channel.closed and gateway.missing(replica.version.id) > 0:
            gateway.lease(replica)
        else:
            self._keep_spare(replica)

    def _retry(self, gateway: ConnectedGateway, version_id: str) -> None:
        if not gateway.channel.closed:
            self.reconcile(gateway, version_id)

    async def _start(self, version: Version) -> HostedReplica:
        """A loaded replica. Raises LoadFailed."""
        name = f"{version.owner}/{version.algorithm}"
        try:
            replica = await self._nursery.start(version)
        except OSError as error:
            failure = AlgorithmFailure(error_type="LoadingError", message=f"no worker could be started: {error}")
            self._on_event("replica.start", name, "failed", {"version": version.id, "reason": failure.message})
            raise LoadFailed(failure) from error
        self._replicas[replica.id] = replica
        try:
            await replica.load()
        except LoadFailed as error:
            self._nursery.kill(replica)
            self._on_event("replica.start", name, "failed", {"version": version.id, "reason": str(error)[:2000]})
            if replica.doom is not None:
                raise LoadFailed(replica.doom) from error
            raise
        self._back_off.worked(version.id)
        self._nursery.learned(replica)
        detail = {"version": version.id, "replica": replica.id, "seconds": f"{replica.ready_seconds:.3f}"}
        self._on_event("replica.start", name, "done", detail)
        return replica

    # --- ends -------------------------------------------------------------------------------------------------------

    def _exited(self, replica: HostedReplica, status: int) -> None:
        self._replicas.pop(replica.id, None)
        self._spares.pop(replica.id, None)
        failure = replica.doom or AlgorithmFailure(
            error_type="SystemExit", message=f"the worker exited with {describe_exit(status)}"
        )
        if replica.state == "starting":
            # Its load() is still waiting on the socket, which is closed now, and reports the failure itself.
            return
        version = replica.version
        detail = {"version": version.id, "replica": replica.id, "reason": failure.message}
        self._on_event("replica.exit", f"{version.owner}/{version.algorithm}", "done", detail)
        gateway = self._gateways.get(replica.holder)
        if gateway is not None:
            gateway.lost(replica, failure)
            self.reconcile(gateway, version.id)

    async def _watch(self) -> None:
        """End replicas that outgrow their memory, and spares that nobody wants."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for replica in list(self._replicas.values()):
                if replica.doom is None and replica.resident_bytes() > replica.version.resources.memory_bytes:
                    limit = replica.version.resources.memory_bytes
                    message = f"the worker passed its memory limit of {limit} bytes"
                    replica.doom = AlgorithmFailure(error_type="OutOfMemoryError", message=message)
                    self._nursery.kill(replica)
            stale = time.monotonic() - _SPARE_SECONDS
            for replica, since in list(self._spares.values()):
                if since < stale:
                    self._nursery.kill(replica)

    # --- control ----------------------------------------------------------------------------------------------------

    def request(self, identity: str, work: Coroutine[Any, Any, None]) -> None:
        """Run one of control's requests; Cancel ends it."""
        task = self._requests[identity] = self._spawn(work)
        task.add_done_callback(lambda _task: self._requests.pop(identity, None))

    def cancel(self, identity: str) -> None:
        """End a request of control."""
        task = self._requests.get(identity)
        if task is not None:
            task.cancel()

    async def check(self, channel: Channel, message: Check) -> None:
        """Load the version, try its sample, and keep the replica for the first gateway that wants it."""
        started = time.monotonic()
        output = ""
        try:
            replica = await self._start(message.version)
        except LoadFailed as error:
            failure: AlgorithmFailure | None = error.failure
        else:
            failure = await replica.try_sample(message.sample) if message.sample is not None else None
            output = replica.output
            if failure is None:
                self._keep_spare(replica)
            else:
                self._nursery.kill(replica)
        seconds = time.monotonic() - started
        channel.send(Checked(request=message.request, failure=failure, seconds=seconds, output=output))

    async def run_command(self, channel: Channel, message: Run, output: int) -> None:
        """Run a command of a job."""
        channel.send(await run_command(message, output))

    def inspect(self, message: Inspect) -> Inspected:
        """What runs."""
        lines = tuple(
            Replica(
                id=replica.id,
                version_id=replica.version.id,
                algorithm=f"{replica.version.owner}/{replica.version.algorithm}",
                pid=replica.pid,
                state=replica.state,
                gateway=replica.holder,
                memory_bytes=replica.resident_bytes(),
            )
            for replica in list(self._replicas.values())[:500]
        )
        return Inspected(request=message.request, replicas=lines, zygotes=self._nursery.zygotes)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Session:
    """One connection, from its Join to its end."""

    def __init__(self, host: Host, connection: socket.socket) -> None:
        self._host = host
        self._gateway: ConnectedGateway | None = None
        self._requests: set[str] = set()
        self._channel = Channel(connection, ToHost, self._received, self._closed)

    def _received(self, message: ToHost, descriptors: list[int]) -> None:
        if isinstance(message, Run) and len(descriptors) == 1:
            self._requests.add(message.request)
            work = self._host.run_command(self._channel, message, descriptors.pop())
            self._host.request(message.request, work)
        elif isinstance(message, Join) and message.role == "gateway":
            self._gateway = self._host.joined(message.name, self._channel)
        elif isinstance(message, Want) and self._gateway is not None:
            self._host.want(self._gateway, message)
        elif isinstance(message, Discard) and self._gateway is not None:
            self._host.discard(self._gateway, message)
        elif isinstance(message, Check):
            self._requests.add(message.request)
            self._host.request(message.request, self._host.check(self._channel, message))
        elif isinstance(message, Cancel):
            self._host.cancel(message.request)
        elif isinstance(message, Inspect):
            self._channel.send(self._host.inspect(message))
        for descriptor in descriptors:
            os.close(descriptor)

    def _closed(self) -> None:
        for request in self._requests:
            self._host.cancel(request)
        if self._gateway is not None:
            self._host.left(self._gateway)
