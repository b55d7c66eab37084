"""A queue with replicas whose workers are the test: what they are sent can be looked at, and answered in any order."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from slipway.gateway.call import Call
from slipway.gateway.callouts import CallOuts
from slipway.gateway.queue import VersionQueue
from slipway.gateway.replica import ReplicaConnection
from slipway.gateway.waiting import Holding
from slipway.ids import new_id, new_id_bytes
from slipway.types import Scaling
from slipway.wire.frames import ACCEPTED, CALL, CANCEL, REPLY, Decoder, encode, encode_fields
from slipway.wire.messages import Discard, Lease, Want
from tests.factories import make_version


class Host:
    """What the queue has asked for."""

    def __init__(self) -> None:
        self.asked: list[Want | Discard] = []

    def send(self, message: Want | Discard) -> None:
        """Keep it."""
        self.asked.append(message)

    @property
    def wanted(self) -> int:
        """The last level."""
        return next((one.replicas for one in reversed(self.asked) if isinstance(one, Want)), 0)

    @property
    def discarded(self) -> list[str]:
        """Why replicas were given up."""
        return [one.cause for one in self.asked if isinstance(one, Discard)]


class Outcomes:
    """The sink of all calls; keeps those that are complete, in that order."""

    def __init__(self) -> None:
        self.done: list[Call] = []

    def completed(self, call: Call) -> None:
        """Once for each."""
        assert call not in self.done
        self.done.append(call)

    def accepted(self, call: Call) -> None:
        """Begun."""

    def started(self, call: Call) -> None:
        """It calls others."""


class Worker(asyncio.Transport):
    """The other end of a replica's socket."""

    def __init__(self, queue: VersionQueue, *, concurrency: int, batch: int, reply_limit: int) -> None:
        super().__init__()
        self.calls: list[bytes] = []  # ids of those that were sent and are not answered
        self.cancelled: list[bytes] = []
        self.most = 0  # it ever had
        self._decoder = Decoder()
        lease = Lease(
            replica=new_id(),
            version_id=queue.version.id,
            concurrency=concurrency,
            credit=16,
            batch=batch,
            cold_start_seconds=0.0,
        )
        self.replica = ReplicaConnection(lease, queue, reply_limit, cast("CallOuts", None), lambda flush: flush())
        self.replica.connection_made(self)

    def write(self, data: Any) -> None:
        """Take frames."""
        for frame in self._decoder.feed(bytes(data)):
            if frame.kind == CALL:
                self.calls.append(frame.call)
            elif frame.kind == CANCEL:
                self.cancelled.append(frame.call)
        self.most = max(self.most, len(self.calls))

    def abort(self) -> None:
        """The platform has let go of it."""
        self.end()

    def end(self) -> None:
        """The worker is dead."""
        self.replica.connection_lost(None)

    def accept(self, identity: bytes) -> None:
        """Begin it."""
        self.replica.data_received(encode(ACCEPTED, identity))

    def reply(self, identity: bytes, body: bytes = b"1", us: int = 5000, batch: int = 1) -> None:
        """Answer it."""
        self.calls.remove(identity)
        fields = {"content_type": "json", "us": str(us), "cpu_us": "0", "batch": str(batch)}
        self.replica.data_received(encode(REPLY, identity, encode_fields(fields), body))

    def work(self, count: int = 1) -> None:
        """Begin and answer the first of what it has."""
        for identity in self.calls[:count]:
            self.accept(identity)
            self.reply(identity)


class Rig:
    """The queue of one version."""

    def __init__(self, limit: int = 2**20, reply_limit: int = 2**20, **scaling: Any) -> None:
        self.host, self.outcomes, self.holding = Host(), Outcomes(), Holding(limit)
        self.queue = VersionQueue(make_version(scaling=Scaling(**scaling)), self.host, self.holding)
        self._reply_limit = reply_limit

    def worker(self, concurrency: int = 1, batch: int = 1) -> Worker:
        """One replica more, as one that was asked for."""
        self.queue.demand.wanted = max(self.queue.demand.wanted, len(self.queue.replicas) + 1)
        return Worker(self.queue, concurrency=concurrency, batch=batch, reply_limit=self._reply_limit)

    def call(self, caller: str = "ann", body: bytes = b"1", seconds: float = 60.0) -> Call:
        """Submit one."""
        now = time.monotonic()
        call = Call(new_id_bytes(), self.queue.version, body, "json", caller, now, now + seconds, self.outcomes)
        self.queue.submit(call)
        return call
