"""One version's queue: the calls that wait, the replicas that serve them, and how many of these there should be."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Literal, Protocol

from slipway.errors import CallerGone, CapacityError, DeadlineExceeded, QueueFull
from slipway.gateway.call import Call
from slipway.gateway.outcomes import WORKER_LOST
from slipway.gateway.replica import ReplicaConnection
from slipway.routing.scaling import Recent, most_replicas, needed_replicas, wanted_replicas
from slipway.routing.sendahead import FIRST_GUESS_SECONDS, smoothed
from slipway.types import AlgorithmFailure, Version
from slipway.wire.messages import Discard, Exited, StartFailed, Want

_GRAIN_SECONDS = 0.001  # of the loop's clock
_REASON_SECONDS = 0.3  # how long the host may take to say why a worker ended

Cause = Literal["timeout", "idle", "protocol", "surplus"]


class ToHost(Protocol):
    """Where a queue sends what it wants of the host."""

    def send(self, message: Want | Discard) -> None:
        """Send, or drop while the host is away: wants are repeated when it is back."""


class VersionQueue:
    """First come, first served over all replicas of the version that this gateway holds."""

    def __init__(self, version: Version, host: ToHost) -> None:
        self.version = version
        self.replicas: list[ReplicaConnection] = []
        self.waiting: deque[Call] = deque()
        self.wanted = 0
        self._host = host
        self._failure: AlgorithmFailure | None = None  # why the last start failed
        self._last_call = time.monotonic()
        self._service_seconds = FIRST_GUESS_SECONDS
        self._served = False  # whether that was ever measured
        self._recent = Recent()  # how many replicas were needed
        self._most = most_replicas(version.scaling)
        self._delay_seconds = version.scaling.max_delay_ms / 1000
        self._leaving = False  # the version is another gateway's now
        self._unexplained: dict[str, list[Call]] = {}  # calls of a lost replica, until the host says why
        self._reasons: dict[str, AlgorithmFailure] = {}

    @property
    def busy(self) -> bool:
        """Whether anything here needs the frequent sweep."""
        return bool(self.waiting) or any(replica.calls or not replica.room for replica in self.replicas)

    @property
    def unsettled(self) -> bool:
        """Whether calls of a lost replica still wait for the reason."""
        return bool(self._unexplained)

    # --- calls ------------------------------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """Hand the call to a replica, or let it wait. It may complete at once, with an error."""
        self._last_call, self._leaving = call.arrived, False
        if not self.waiting and not self._delay_seconds:
            replica = self._free_replica()
            if replica is not None:
                replica.send(call)
                return
        if self._failure is not None and not self.replicas:
            self._rescale(call.arrived)
            call.fail(self._failure)
        elif len(self.waiting) >= self.version.scaling.queue_limit:
            call.refuse(QueueFull(f"{len(self.waiting)} calls wait for this version already"))
        else:
            self.waiting.append(call)
            if self._delay_seconds:
                self._gather()
            if self.wanted < self._most:
                self._rescale(call.arrived)

    def withdraw(self, call: Call) -> None:
        """The caller is gone: free the place of a call that still waits. One that a worker has is left to end, if it
        is no stream."""
        if call.owner is None and call in self.waiting:
            self.waiting.remove(call)
            call.refuse(CallerGone("the caller closed its connection"))
        elif call.stream is not None and call.owner is not None:
            self._end_stream(call, call.owner)

    def _end_stream(self, call: Call, replica: ReplicaConnection) -> None:
        """One that its worker has not begun is ended when that begins it: until then, it is at another's call."""
        if call.begun and call.id in replica.calls:
            now = time.monotonic()
            replica.cancel(call, now)
            _measure(call, now)
        call.refuse(CallerGone("the caller closed its connection before the last item"))

    def sweep(self, now: float) -> None:
        """End what is overdue, replace workers that do not stop, and adjust the number of replicas."""
        for call in [call for call in self.waiting if call.deadline <= now]:
            self.waiting.remove(call)
            call.refuse(DeadlineExceeded("no worker took the call within its time"))
        for replica in list(self.replicas):
            self._end_overdue(replica, now)
        self._notice_long_calls(now)
        if not self._leaving:
            self._rescale(now)
        self._give_back_surplus()

    def _end_overdue(self, replica: ReplicaConnection, now: float) -> None:
        for call in [call for call in replica.calls.values() if call.deadline <= now]:
            if call.begun:
                replica.cancel(call, now)
                _measure(call, now)
                call.fail(_timeout(call))
            else:
                call.refuse(DeadlineExceeded("no worker began the call within its time"))
        if replica.overstayed(now):
            self._discard(replica, "timeout")

    def served(self, seconds: float) -> None:
        """A call has taken that long."""
        self._service_seconds = smoothed(self._service_seconds, seconds) if self._served else seconds
        self._served = True

    # --- replicas ---------------------------------------------------------------------------------------------------

    def joined(self, replica: ReplicaConnection) -> None:
        """A lease has arrived and its socket is ready."""
        self.replicas.append(replica)
        self._failure = None
        self.freed(replica)

    def freed(self, replica: ReplicaConnection) -> None:
        """Send the replica what waits, as far as it has room."""
        if self._delay_seconds and replica.batch > 1 and not self._ripe():
            return
        room = replica.room
        if room <= 0 or not self.waiting:
            return
        calls: list[Call] = []
        while len(calls) < room and self.waiting:
            call = self.waiting.popleft()
            if not call.done:
                calls.append(call)
                if call.stream is not None:  # nothing is sent ahead behind it
                    room = min(room, replica.concurrency - len(replica.calls))
        if calls:
            replica.send_all(calls)

    def broken(self, replica: ReplicaConnection) -> None:
        """The replica's stream cannot be read any further."""
        self._reasons[replica.id] = AlgorithmFailure(
            error_type="SystemError", message="the worker broke the worker protocol"
        )
        self._discard(replica, "protocol")

    def lost(self, replica: ReplicaConnection) -> None:
        """The replica is gone. What it had not accepted is tried elsewhere; the rest fails with the host's reason."""
        if replica in self.replicas:
            self.replicas.remove(replica)
        reason = self._reasons.pop(replica.id, None)
        calls = [call for call in replica.calls.values() if not call.done]
        replica.calls.clear()
        begun = [call for call in calls if call.begun]
        self._try_elsewhere([call for call in calls if not call.begun])
        if not begun:
            return
        if reason is not None:
            _fail_all(begun, reason)
            return
        self._unexplained[replica.id] = begun
        asyncio.get_running_loop().call_later(_REASON_SECONDS, self._explain, replica.id, WORKER_LOST)

    def exited(self, message: Exited) -> None:
        """The host says why a replica ended, before or after its socket was seen to close."""
        if message.replica in self._unexplained:
            self._explain(message.replica, message.failure)
        elif any(replica.id == message.replica for replica in self.replicas):
            self._reasons[message.replica] = message.failure

    def start_failed(self, message: StartFailed) -> None:
        """No replica could be started: whoever waits is told at once."""
        if self.replicas:
            return
        self._failure = message.failure
        waiting, self.waiting = self.waiting, deque()
        _fail_all(waiting, message.failure)

    def host_lost(self) -> None:
        """The host is gone, and with it the replicas; what they say will come on their sockets."""
        self._failure = None

    def ask_again(self) -> None:
        """Repeat what is wanted to a host that is back."""
        if self.wanted:
            self._host.send(Want(version=self.version, replicas=self.wanted))

    def hand_over(self) -> list[Call]:
        """The version is another gateway's now: give up replicas as they fall idle; returns the calls that wait."""
        self.wanted, self._leaving = 0, True
        self._host.send(Want(version=self.version, replicas=0))
        self._give_back_surplus()
        waiting, self.waiting = self.waiting, deque()
        return list(waiting)

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _free_replica(self) -> ReplicaConnection | None:
        best, most = None, 0
        for replica in self.replicas:
            room = replica.room
            if room > most:
                best, most = replica, room
        return best

    def _ripe(self) -> bool:
        """Whether what waits is a whole batch, or has waited for company as long as it may."""
        if len(self.waiting) >= self.version.scaling.max_batch:
            return True
        return bool(self.waiting) and time.monotonic() >= self.waiting[0].arrived + self._delay_seconds

    def _gather(self) -> None:
        """Send what has come together, now and when the newest call's time is over."""
        asyncio.get_running_loop().call_later(self._delay_seconds + _GRAIN_SECONDS, self._send_waiting)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self.waiting:
            replica = self._free_replica()
            left = len(self.waiting)
            if replica is not None:
                self.freed(replica)
            if len(self.waiting) == left:
                return

    def _rescale(self, now: float) -> None:
        needed = self._needed(now)
        wanted = wanted_replicas(
            self.version.scaling,
            needed=needed,
            recently=self._recent.note(needed, now),
            wanted=self.wanted,
            idle_seconds=0.0 if self.busy else now - self._last_call,
        )
        if wanted != self.wanted:
            self.wanted = wanted
            self._host.send(Want(version=self.version, replicas=wanted))

    def _needed(self, now: float) -> int:
        calls = len(self.waiting) + sum([len(replica.calls) for replica in self.replicas])
        if not self._served:
            # How many there must be is known once there is one. A call that was answered with the last start's failure
            # has not waited, and wants a replica all the same.
            return int(calls > 0 or (self._failure is not None and now - self._last_call < 1))
        return needed_replicas(calls, self._service_seconds, self.version.scaling.concurrency)

    def _notice_long_calls(self, now: float) -> None:
        """A call counts for what it has taken so far, also before it has ended."""
        longest = max((replica.longest(now) for replica in self.replicas), default=0.0)
        if longest > self._service_seconds:
            self._served, self._service_seconds = True, longest

    def _give_back_surplus(self) -> None:
        """End what is not wanted, those first that were not used for longest, each once it has no call; what another
        gateway wants now is left to it."""
        surplus = len(self.replicas) - self.wanted
        if surplus > 0:
            unused = sorted((replica for replica in self.replicas if not replica.calls), key=_last_used)
            for replica in unused[:surplus]:
                self._discard(replica, "surplus" if self._leaving else "idle")

    def _discard(self, replica: ReplicaConnection, cause: Cause) -> None:
        self._host.send(Discard(replica=replica.id, cause=cause))
        if replica in self.replicas:
            self.replicas.remove(replica)
        if replica.transport is not None:
            replica.transport.abort()

    def _try_elsewhere(self, calls: list[Call]) -> None:
        for call in reversed(calls):
            call.owner = None
            if call.retried:
                call.refuse(CapacityError("two workers were lost before they took the call"))
            else:
                call.retried = True
                self.waiting.appendleft(call)
        for replica in self.replicas:
            self.freed(replica)

    def _explain(self, replica_id: str, failure: AlgorithmFailure) -> None:
        _fail_all(self._unexplained.pop(replica_id, ()), failure)


def _last_used(replica: ReplicaConnection) -> float:
    return replica.last_used


def _measure(call: Call, now: float) -> None:
    """What a call has taken that is ended here."""
    call.duration_us = int((now - call.begun) * 1e6)
    call.queue_us = int((call.begun - call.arrived) * 1e6)


def _fail_all(calls: list[Call] | deque[Call] | tuple[()], failure: AlgorithmFailure) -> None:
    for call in calls:
        if call.begun:
            call.duration_us = int((time.monotonic() - call.begun) * 1e6)
        call.fail(failure)


def _timeout(call: Call) -> AlgorithmFailure:
    limit = call.deadline - call.arrived
    return AlgorithmFailure(error_type="TimeoutError", message=f"the call took longer than its limit of {limit:g} s")
