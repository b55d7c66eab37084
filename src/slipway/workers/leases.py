"""Who holds which replica: keeps for every gateway what it wants, and what nobody wants for a while."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from slipway.types import AlgorithmFailure, Version
from slipway.wire.channel import Channel
from slipway.wire.messages import Discard, Want
from slipway.workers.backoff import BackOff
from slipway.workers.ends import out_of_time, stopped
from slipway.workers.fleet import Fleet
from slipway.workers.gateways import ConnectedGateway
from slipway.workers.replicas import HostedReplica, LoadFailed
from slipway.workers.room import NoRoom

_SPARE_SECONDS = 60.0  # how long a replica that nobody wants is kept
_SHORT_LIFE_SECONDS = 1.0  # a replica that ends sooner is not replaced at once
_CAUSES = {
    "timeout": out_of_time(),
    "idle": stopped("no call came for a while"),
    "protocol": stopped("it broke the worker protocol"),
    "reclaimed": stopped("its memory was needed"),
}
_UNUSED = ("idle", "reclaimed")

Background = Callable[[Coroutine[Any, Any, None]], object]


class Leases:
    """The gateways, the replicas they hold, and the spares."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._fleet: Fleet | None = None
        self._gateways: dict[str, ConnectedGateway] = {}
        self._holders: dict[str, ConnectedGateway] = {}  # by replica id; also of one that was discarded and still ends
        self._spares: dict[str, tuple[HostedReplica, float]] = {}  # by replica id; spare since, the oldest first
        self._spares_of: dict[str, list[HostedReplica]] = {}  # by version id
        self._proving: Counter[str] = Counter()  # by version id: those that may be spares in a moment
        self._loading = BackOff(0.1, 30.0)
        self._crashing = BackOff(0.05, 1.0)
        self._crowded = BackOff(0.1, 2.0)

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
        for replica in gateway.release_all():
            self._holders.pop(replica.id, None)
            self._take_back(replica)
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
        for pause in (self._loading, self._crowded):
            failure, retry = pause.last_failure(version_id), pause.remaining(version_id)
            if failure is not None and retry and gateway.missing(version_id) > 0:
                # Its calls should not wait until the next attempt to learn of the last one.
                gateway.start_failed(version_id, failure, retry, no_room=pause is self._crowded)

    def discard(self, gateway: ConnectedGateway, message: Discard) -> None:
        """The gateway will not use this replica again."""
        replica = gateway.release(message.replica)
        if replica is None:
            return
        if message.cause == "surplus":
            self._holders.pop(replica.id, None)
            self._take_back(replica)
        elif message.cause in _UNUSED:
            self._background(self.fleet.retire(replica, _CAUSES[message.cause]))
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
        while version_id in self._spares_of and gateway.missing(version_id) > 0:
            self._lease(gateway, self._spares_of[version_id][0])
        missing = gateway.missing(version_id) - self._proving[version_id]
        if missing <= 0 or any(pause.remaining(version_id) for pause in (self._loading, self._crashing, self._crowded)):
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
            self._spares_of.setdefault(replica.version.id, []).append(replica)
        self._reconcile_all(replica.version.id)

    def ended(self, replica: HostedReplica, failure: AlgorithmFailure) -> None:
        """A loaded replica has ended: tell who had it, and replace it where it is missed."""
        self._no_spare(replica)
        gateway = self._holders.pop(replica.id, None)
        if gateway is None or not gateway.connected:
            return
        gateway.exited(replica, failure)
        version_id = replica.version.id
        if gateway.release(replica.id) is None:
            return  # discarded, and replaced then
        if time.monotonic() - replica.ready_at < _SHORT_LIFE_SECONDS:
            self._later(self._crashing.failed(version_id, failure), gateway, version_id)
        else:
            self._crashing.worked(version_id)
        self.reconcile(gateway, version_id)

    def drop_stale_spares(self) -> None:
        """End replicas that nobody has wanted for a minute."""
        stale = time.monotonic() - _SPARE_SECONDS
        while self._spares and (spare := next(iter(self._spares.values())))[1] < stale:
            self._end_spare(spare[0], "idle")

    def idle(self) -> Iterator[tuple[float, str, Callable[[], None]]]:
        """Spares: since when, under which key their memory is counted, and how to end them."""
        for replica, since in self._spares.values():
            yield since, replica.id, lambda replica=replica: self._end_spare(replica, "reclaimed")  # type: ignore[misc]

    def reclaim(self, replicas: int) -> None:
        """Ask the gateways for so many idle ones of those that they have."""
        gateways = [gateway for gateway in self._gateways.values() if gateway.replicas]
        for gateway in gateways:
            gateway.give_back(-(-replicas // len(gateways)))

    def _lease(self, gateway: ConnectedGateway, replica: HostedReplica) -> None:
        self._no_spare(replica)
        self._holders[replica.id] = gateway
        gateway.lease(replica)

    def _end_spare(self, replica: HostedReplica, cause: str) -> None:
        self._no_spare(replica)
        self._background(self.fleet.retire(replica, _CAUSES[cause]))

    def _no_spare(self, replica: HostedReplica) -> None:
        if self._spares.pop(replica.id, None) is None:
            return
        same = self._spares_of[replica.version.id]
        same.remove(replica)
        if not same:
            del self._spares_of[replica.version.id]

    async def _start_for(self, gateway: ConnectedGateway, version: Version) -> None:
        try:
            replica = await self.fleet.start(version)
        except LoadFailed as error:
            self._not_started(gateway, version.id, self._loading, error.failure)
            return
        except NoRoom as error:
            failure = AlgorithmFailure(error_type="SystemError", message=str(error))
            self._not_started(gateway, version.id, self._crowded, failure)
            return
        finally:
            gateway.end(version.id)
        self._loading.worked(version.id)
        self._crowded.worked(version.id)
        # Whoever asked for it comes first; others may have begun to want it meanwhile.
        if gateway.connected and gateway.missing(version.id) > 0 and replica.process.lives:
            self._lease(gateway, replica)
        else:
            self.keep(replica)

    def _not_started(
        self, gateway: ConnectedGateway, version_id: str, pause: BackOff, failure: AlgorithmFailure
    ) -> None:
        retry = pause.failed(version_id, failure)
        gateway.start_failed(version_id, failure, retry, no_room=pause is self._crowded)
        self._later(retry, gateway, version_id)

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
