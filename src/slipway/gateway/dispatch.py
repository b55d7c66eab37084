"""Which queue a call goes to: this gateway's own, or that of the gateway to which the version belongs."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from heapq import nsmallest
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from slipway.gateway.call import Call
from slipway.gateway.queue import VersionQueue
from slipway.gateway.replica import ReplicaConnection
from slipway.gateway.tasks import background
from slipway.gateway.waiting import Holding
from slipway.routing.ownership import owner_of
from slipway.routing.reservations import NOTHING, Reserved
from slipway.settings import Settings
from slipway.types import Version
from slipway.wire.link import HostLink
from slipway.wire.messages import Discard, Exited, GiveBack, Lease, Members, StartFailed

if TYPE_CHECKING:
    from slipway.gateway.callouts import CallOuts
    from slipway.gateway.peers import Peers

_SWEEP_SECONDS = 0.05  # how often queues with calls are looked at
_ROUND = 20  # in how many such sweeps the others have all had their turn

logger = logging.getLogger(__name__)


class Dispatcher:
    """Owns this gateway's queues. The host tells it who the gateways are; every one computes the same owners."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._holding = Holding(0)
        self._reserved: dict[str, Reserved] = {}  # by version id
        self._always_warm: list[Version] = []
        self.configure(settings)
        self._reply_limit = settings.reply_limit_bytes
        self._queues: dict[str, VersionQueue] = {}
        self._members: tuple[str, ...] = (name,)
        self._owners: dict[str, str] = {}  # version id → gateway
        self._active: set[VersionQueue] = set()  # those that had calls since they were last looked at
        self._rota: Iterator[VersionQueue] = iter(())  # whose turn is next, of the others
        self._turn = 0  # of how many at a time
        self._host: HostLink
        self._peers: Peers
        self._call_outs: CallOuts

    def configure(self, settings: Settings) -> None:
        """Take over what the settings bound."""
        self._holding.limit = settings.waiting_limit_bytes

    def connect(self, host: HostLink, peers: Peers, call_outs: CallOuts) -> None:
        """Wire the links, and start sweeping."""
        self._host, self._peers, self._call_outs = host, peers, call_outs
        self._sweep()

    # --- calls ------------------------------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """Queue the call here, or hand it to the gateway that owns its version."""
        owner = self._owners.get(call.version.id) or self._owner(call.version.id)
        if owner == self.name:
            self.submit_here(call)
        else:
            self._peers.submit(owner, call)

    def submit_here(self, call: Call) -> None:
        """Queue the call here, whoever owns its version: it was handed over already, or there is no other."""
        queue = self.queue(call.version)
        self._active.add(queue)
        queue.submit(call)

    def withdraw(self, call: Call) -> None:
        """The caller is gone."""
        queue = self._queues.get(call.version.id)
        if queue is not None:
            queue.withdraw(call)
        self._peers.withdraw(call)

    def grant(self, call: Call, items: int) -> None:
        """The caller takes so many more items of a stream."""
        if call.owner is not None:
            call.owner.grant(call, items)
        else:
            self._peers.grant(call, items)

    def queue(self, version: Version) -> VersionQueue:
        """The version's queue, made at its first use."""
        queue = self._queues.get(version.id)
        if queue is None:
            queue = self._queues[version.id] = VersionQueue(version, self._host, self._holding)
        return queue

    def keep_warm(self, versions: list[Version], reserved: dict[str, Reserved]) -> None:
        """These versions must have replicas without any call, and those that are reserved, by version id."""
        given_up = self._reserved.keys() - reserved.keys()
        self._always_warm, self._reserved = versions, reserved
        for version_id in given_up:
            queue = self._queues.get(version_id)
            if queue is not None and self._owner(version_id) == self.name:
                queue.reserve(NOTHING)
        self._warm()

    def _warm(self) -> None:
        for version in self._always_warm:
            if self._owner(version.id) == self.name:
                self.queue(version).reserve(self._reserved.get(version.id, NOTHING))

    # --- what the host says -----------------------------------------------------------------------------------------

    def members(self, message: Members) -> None:
        """The gateways have changed: versions may belong elsewhere now."""
        if message.names == self._members:
            return
        self._members = message.names
        self._owners.clear()
        for queue in list(self._queues.values()):
            if self._owner(queue.version.id) != self.name:
                for call in queue.hand_over():
                    self.submit(call)
        self._peers.members(message.names)
        self._warm()

    def leased(self, message: Lease, descriptor: int) -> None:
        """A replica is ready; its socket is ours."""
        queue = self._queues.get(message.version_id)
        connection = socket.socket(fileno=descriptor)
        if queue is None or not queue.demand.wanted:
            connection.close()
            self._host.send(Discard(replica=message.replica, cause="surplus"))
            return
        background(self._adopt(message, queue, connection))

    async def _adopt(self, lease: Lease, queue: VersionQueue, connection: socket.socket) -> None:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.create_unix_connection(
                lambda: ReplicaConnection(lease, queue, self._reply_limit, self._call_outs, loop.call_soon),
                sock=connection,
            )
        except OSError as error:
            logger.warning("lease of replica %s failed: %s", lease.replica, error)
            connection.close()

    def exited(self, message: Exited) -> None:
        """A replica has ended."""
        if queue := self._queues.get(message.version_id):
            queue.exited(message)

    def start_failed(self, message: StartFailed) -> None:
        """A replica could not be started."""
        if queue := self._queues.get(message.version_id):
            queue.start_failed(message)

    def give_back(self, message: GiveBack) -> None:
        """The host is short of memory: let go of idle replicas, those first that were not used for longest."""
        spare = [(replica.last_used, queue, replica) for queue in self._queues.values() for replica in queue.spare()]
        for _, queue, replica in nsmallest(message.replicas, spare, key=itemgetter(0)):
            queue.give_back(replica)

    def host_back(self) -> None:
        """A host is there again: repeat what is wanted."""
        for queue in self._queues.values():
            queue.ask_again()

    def host_lost(self) -> None:
        """The host is gone."""
        for queue in self._queues.values():
            queue.host_lost()

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _owner(self, version_id: str) -> str:
        owner = self._owners[version_id] = owner_of(version_id, self._members) or self.name
        return owner

    def _sweep(self) -> None:
        asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
        now = time.monotonic()
        for queue in list(self._active):
            queue.sweep(now)
            if not queue.busy:
                self._active.discard(queue)
        self._sweep_quiet(now)

    def _sweep_quiet(self, now: float) -> None:
        """A few at a time, for there may be thousands: all at once would hold up calls."""
        turn = list(islice(self._rota, self._turn))
        if not turn:
            self._rota, self._turn = iter(list(self._queues.values())), -(-len(self._queues) // _ROUND)
        for queue in turn:
            if queue.rests(now):
                continue
            queue.sweep(now)
            if queue.unused:
                self._queues.pop(queue.version.id, None)
