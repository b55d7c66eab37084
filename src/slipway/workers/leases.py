"""Who holds which replica: keeps for every gateway what it wants, and what nobody wants for a while."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from slipway.types import AlgorithmFailure, Version
from slipway.wire.channel import Channel
from slipway.wire.messages import Discard, Want
from slipway.workers.backoff import BackOff
from slipway.workers.ends import out_of_time, stopped
from slipway.workers.fleet import Fleet
from slipway.workers.gateways import ConnectedGateway
from slipway.workers.replicas import HostedReplica, LoadFailed

_SPARE_SECONDS = 60.0  # how long a replica that nobody wants is kept
_SHORT_LIFE_SECONDS = 1.0  # a replica that ends sooner is not replaced at once
_CAUSES = {
    "timeout": out_of_time(),
    "idle": stopped("no call came for a while"),
    "protocol": stopped("it broke the worker protocol"),
}

Background = Callable[[Coroutine[Any, Any, None]], object]


class Leases:
    """The gateways, the replicas they hold, and the spares."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._fleet: Fleet | None = None
        self._gateways: dict[str, ConnectedGateway] = {}
        self._holders: dict[str, ConnectedGateway] = {}  # by replica id; also of one that was discarded and still ends
        self._spares: dict[str, tuple[HostedReplica, float]] = {}  # by replica id; spare since
        self._proving: Counter[str] = Counter()  # by version id: those that may be spares in a moment
        self._loading = BackOff(0.1, 30.0)
        self._crashing = BackOff(0.05, 1.0)

    def attach(self, fleet: Fleet) -> None:
        """Where replicas come from; it reports their ends to `ended`."""
        self._fleet = fleet

    @property
    def fleet(self) -> Fleet:
        """Where replicas come from."""
        assert self._fleet is not None
        return self._fleet

    def holder(self, replica: HostedReplica) -> str:
        """The name of the gateway that has it, or nothing."""
        gateway = self._holders.get(replica.id)
        return gateway.name if gateway else ""

    # --- gateways ---------------------------------------------------------------------------------------------------

    def joined(self, name: str, channel: Channel) -> ConnectedGateway:
        """A gateway has connected."""
        gateway = self._gateways[name] = ConnectedGateway(name, channel)
        self._announce()
        return gateway

    def left(self, gateway: ConnectedGateway) -> None:
        """A gateway is gone: its idle replicas are kept for others, the busy ones replaced."""
        if self._gateways.get(gateway.name) is gateway:
            del self._gateways[gateway.name]
        for replica in gateway.replicas.values():
            self._holders.pop(replica.id, None)
            self._take_back(replica)
        gateway.replicas.clear()
        gateway.wants.clear()
        self._announce()

    def want(self, gateway: ConnectedGateway, message: Want) -> None:
        """Take a new level."""
        version_id = message.version.id
        if message.replicas <= 0:
            gateway.wants.pop(version_id, None)
            return
        gateway.wants[version_id] = message
        self.reconcile(gateway, version_id)
        failure = self._loading.last_failure(version_id)
        retry = self._loading.remaining(version_id)
        if failure is not None and retry and gateway.missing(version_id) > 0:
            # Its calls should not wait until the next attempt to learn of the last one.
            gateway.start_failed(version_id, failure, retry)

    def discard(self, gateway: ConnectedGateway, message: Discard) -> None:
        """The gateway will not use this replica again."""
        replica = gateway.replicas.pop(message.replica, None)
        if replica is None:
            return
        if message.cause == "surplus":
            self._holders.pop(replica.id, None)
            self._take_back(replica)
        else:
            self.fleet.kill(replica, _CAUSES[message.cause])
        self.reconcile(gateway, replica.version.id)

    def _announce(self) -> None:
        names = tuple(sorted(self._gateways))
        for gateway in self._gateways.values():
            gateway.members(names)

    # --- replicas ---------------------------------------------------------------------------------------------------

    def reconcile(self, gateway: ConnectedGateway, version_id: str) -> None:
        """Lease spares and start workers until the gateway has what it wants, or must wait."""
        if not gateway.connected:
            return
        for replica, _ in [spare for spare in self._spares.values() if spare[0].version.id == version_id]:
            if gateway.missing(version_id) > 0:
                self._lease(gateway, replica)
        missing = gateway.missing(version_id) - self._proving[version_id]
        if missing <= 0 or self._loading.remaining(version_id) or self._crashing.remaining(version_id):
            return
        version = gateway.wants[version_id].version
        for _ in range(missing):
            gateway.begin(version_id)
            self._background(self._start_for(gateway, version))

    def keep(self, replica: HostedReplica) -> None:
        """A loaded replica that nobody holds: for whoever wants one now, or soon."""
        if replica.process.lives:
            replica.state = "idle"
            self._spares[replica.id] = (replica, time.monotonic())
        self._reconcile_all(replica.version.id)

    def ended(self, replica: HostedReplica, failure: AlgorithmFailure) -> None:
        """A loaded replica has ended: tell who had it, and replace it where it is missed."""
        self._spares.pop(replica.id, None)
        gateway = self._holders.pop(replica.id, None)
        if gateway is None or not gateway.connected:
            return
        gateway.exited(replica, failure)
        version_id = replica.version.id
        if gateway.replicas.pop(replica.id, None) is None:
            return  # discarded, and replaced then
        if time.monotonic() - replica.ready_at < _SHORT_LIFE_SECONDS:
            self._later(self._crashing.failed(version_id, failure), gateway, version_id)
        else:
            self._crashing.worked(version_id)
        self.reconcile(gateway, version_id)

    def drop_stale_spares(self) -> None:
        """End replicas that nobody has wanted for a minute."""
        stale = time.monotonic() - _SPARE_SECONDS
        for replica, since in list(self._spares.values()):
            if since < stale:
                del self._spares[replica.id]
                self.fleet.kill(replica, _CAUSES["idle"])

    def _lease(self, gateway: ConnectedGateway, replica: HostedReplica) -> None:
        self._spares.pop(replica.id, None)
        self._holders[replica.id] = gateway
        gateway.lease(replica)

    async def _start_for(self, gateway: ConnectedGateway, version: Version) -> None:
        try:
            replica = await self.fleet.start(version)
        except LoadFailed as error:
            gateway.end(version.id)
            retry = self._loading.failed(version.id, error.failure)
            gateway.start_failed(version.id, error.failure, retry)
            self._later(retry, gateway, version.id)
            return
        except BaseException:
            gateway.end(version.id)
            raise
        gateway.end(version.id)
        self._loading.worked(version.id)
        # Whoever asked for it comes first; others may have begun to want it meanwhile.
        if gateway.connected and gateway.missing(version.id) > 0 and replica.process.lives:
            self._lease(gateway, replica)
        else:
            self.keep(replica)

    def _take_back(self, replica: HostedReplica) -> None:
        # Counted at once: whoever wants one next may wait a moment for this one.
        self._proving[replica.version.id] += 1
        self._background(self._prove(replica))

    async def _prove(self, replica: HostedReplica) -> None:
        version_id = replica.version.id
        try:
            idle = await replica.proves_idle()
        finally:
            self._proving[version_id] -= 1
        if idle:
            self.keep(replica)
        else:
            self.fleet.kill(replica, stopped("its gateway left it at work"))
            self._reconcile_all(version_id)

    def _reconcile_all(self, version_id: str) -> None:
        for gateway in self._gateways.values():
            self.reconcile(gateway, version_id)

    def _later(self, seconds: float, gateway: ConnectedGateway, version_id: str) -> None:
        # A little more, lest the clock's grain makes it too early.
        asyncio.get_running_loop().call_later(seconds + 0.01, self.reconcile, gateway, version_id)
