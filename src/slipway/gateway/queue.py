"""One version's queue: the calls that wait, the replicas that serve them, and how many of these there should be."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from slipway.errors import CallerGone, CapacityError, DeadlineExceeded, QueueFull, SlipwayError
from slipway.gateway.call import Call
from slipway.gateway.demand import Demand, ToHost
from slipway.gateway.outcomes import WORKER_LOST
from slipway.gateway.replica import ReplicaConnection
from slipway.gateway.waiting import Holding, WaitingLine
from slipway.routing.balance import emptiest
from slipway.routing.batching import ripe
from slipway.routing.reservations import NOTHING, Reserved, held_back
from slipway.routing.retry import may_try_again
from slipway.types import AlgorithmFailure, Version
from slipway.wire.messages import Discard, Exited, StartFailed

_GRAIN_SECONDS = 0.001  # of the loop's clock
_REASON_SECONDS = 0.3  # how long the host may take to say why a worker ended

Cause = Literal["timeout", "idle", "protocol", "surplus", "reclaimed"]


class VersionQueue:
    """First come, first served over all replicas of the version that this gateway holds."""

    def __init__(self, version: Version, host: ToHost, holding: Holding) -> None:
        self.version = version
        self.replicas: list[ReplicaConnection] = []
        self.waiting = WaitingLine(holding)
        self.demand = Demand(version, host)
        self.served = self.demand.served  # a call has taken that many seconds
        self._host = host
        self._failure: AlgorithmFailure | CapacityError | None = None  # why the last start failed
        self._last_call = time.monotonic()
        self._delay_seconds = version.scaling.max_delay_ms / 1000
        self._reserved: dict[str, int] = {}  # account → replicas that are left free for it
        self._direct = not self._delay_seconds  # whether a call may go to a free replica without a look at the others
        self._leaving = False  # the version is another gateway's now
        self._unexplained: dict[str, list[Call]] = {}  # calls of a lost replica, until the host says why
        self._reasons: dict[str, AlgorithmFailure] = {}

    @property
    def busy(self) -> bool:
        """Whether anything here must be looked at often."""
        return bool(self.waiting) or any(replica.calls or not replica.room for replica in self.replicas)

    def rests(self, now: float) -> bool:
        """Whether all is as it should be, and remains so until there is a call or this time has gone on: a cheap answer
        for the thousands of queues that were not called just now."""
        settled = len(self.replicas) == self.demand.wanted == 1 and not self._leaving
        return settled and not self.waiting and now - self._last_call < self.version.scaling.idle_seconds

    @property
    def unused(self) -> bool:
        """Whether nothing is here, and nothing is wanted; calls of a lost replica may still wait for the reason."""
        return not (self.demand.wanted or self.replicas or self.waiting or self._unexplained)

    # --- calls ------------------------------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """Hand the call to a replica, or let it wait. It may complete at once, with an error."""
        self._last_call, self._leaving = call.arrived, False
        if self._direct and not self.waiting:
            replica = emptiest(self.replicas)
            if replica is not None:
                replica.send(call, call.arrived)
                return
        if self._failure is not None and not self.replicas:
            self._rescale(call.arrived)
            _fail_all([call], self._failure)
        elif (refusal := self._over_bound(call)) is not None:
            call.refuse(refusal)
        else:
            self.waiting.enter(call)
            if not self._direct:
                self._gather()
            if self.demand.may_grow:
                self._rescale(call.arrived)

    def _over_bound(self, call: Call) -> SlipwayError | None:
        if len(self.waiting) >= self.version.scaling.queue_limit:
            return QueueFull(f"{len(self.waiting)} calls wait for this version already")
        if not self.waiting.fits(call):
            return CapacityError("the calls that wait hold as much memory as they may: try again in a moment")
        return None

    def withdraw(self, call: Call) -> None:
        """The caller is gone: free the call's place. A worker that is at it may end it; `sweep` sees to it."""
        replica = call.owner
        if call.done:
            return
        if replica is not None and call.id in replica.calls:
            replica.withdraw(call)
        elif call in self.waiting:
            self.waiting.leave(call)
        else:
            return  # its worker was lost: the host's reason is about to come
        call.refuse(CallerGone("the caller closed its connection"))

    def sweep(self, now: float) -> None:
        """End what is overdue, replace workers that do not stop, and adjust the number of replicas."""
        for call in [call for call in self.waiting if call.deadline <= now]:
            self.waiting.leave(call)
            call.refuse(DeadlineExceeded("no worker took the call within its time"))
        for replica in list(self.replicas):
            self._end_overdue(replica, now)
        self.demand.lasts(max((replica.longest(now) for replica in self.replicas), default=0.0))
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
        replica.end_abandoned(now)
        if replica.overstayed(now):
            self._discard(replica, "timeout")

    def reserve(self, reserved: Reserved) -> None:
        """What is reserved of the version has changed: keep that many replicas from now on."""
        self._leaving = False
        self._reserved = reserved.callers
        self._direct = not self._delay_seconds and not self._reserved
        self.demand.reserve(reserved)
        self.sweep(time.monotonic())
        self._send_waiting()

    # --- replicas ---------------------------------------------------------------------------------------------------

    def joined(self, replica: ReplicaConnection) -> None:
        """A lease has arrived and its socket is ready."""
        self.replicas.append(replica)
        self._failure = None
        self.freed(replica)

    def freed(self, replica: ReplicaConnection) -> None:
        """Send the replica what waits, as far as it has room."""
        if not self.waiting or (self._delay_seconds and replica.batch > 1 and not self._ripe()):
            return
        room = replica.room
        if room <= 0 or (self._reserved and not self._bring_forward(replica)):
            return
        now = time.monotonic()
        while room > 0 and (calls := self.waiting.take(1)):
            replica.send(calls[0], now)
            # Nothing is sent ahead behind a stream, of which nobody knows when it ends.
            room = room - 1 if calls[0].stream is None else min(room - 1, replica.room)

    def broken(self, replica: ReplicaConnection) -> None:
        """The replica's stream cannot be read any further."""
        self._reasons[replica.id] = AlgorithmFailure(
            error_type="SystemError", message="the worker broke the worker protocol"
        )
        self._discard(replica, "protocol")

    def lost(self, replica: ReplicaConnection) -> None:
        """The replica is gone. What it had not accepted, or may run twice, is tried elsewhere once; the rest fails with
        the host's reason."""
        if replica in self.replicas:
            self.replicas.remove(replica)
        reason = self._reasons.pop(replica.id, None)
        calls = [call for call in replica.calls.values() if not call.done]
        replica.calls.clear()
        again = [call for call in calls if self._may_try_again(call)]
        begun = [call for call in calls if call.begun and call not in again]
        self._try_elsewhere(again)
        for call in calls:
            if not call.begun and call not in again:
                call.refuse(CapacityError("two workers were lost before they took the call"))
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
        self._failure = CapacityError(message.failure.message) if message.no_room else message.failure
        _fail_all(self.waiting.take_all(), self._failure)

    def host_lost(self) -> None:
        """The host is gone, and with it the replicas; what they say will come on their sockets."""
        self._failure = None

    def ask_again(self) -> None:
        """Repeat what is wanted to a host that is back."""
        self.demand.repeat()

    def spare(self) -> list[ReplicaConnection]:
        """Replicas that the host may have back: without a call, and beyond the minimum."""
        more = len(self.replicas) - (0 if self._leaving else self.demand.least)
        if more <= 0 or self.waiting:
            return []
        return sorted([replica for replica in self.replicas if not replica.calls], key=_last_used)[:more]

    def give_back(self, replica: ReplicaConnection) -> None:
        """Give up an idle replica; until there is another call, nobody shall take its place."""
        self.demand.give_back(len(self.replicas) - 1)
        self._discard(replica, "reclaimed")

    def hand_over(self) -> list[Call]:
        """The version is another gateway's now: give up replicas as they fall idle; returns the calls that wait."""
        self.reserve(NOTHING)
        self._leaving = True
        self.demand.withdraw()
        self._give_back_surplus()
        return self.waiting.take_all()

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _ripe(self) -> bool:
        waited = time.monotonic() - self.waiting[0].arrived if self.waiting else 0.0
        return ripe(len(self.waiting), waited, self.version.scaling.max_batch, self._delay_seconds)

    def _gather(self) -> None:
        """Send what has come together, now and when the newest call's time is over."""
        if self._delay_seconds:
            asyncio.get_running_loop().call_later(self._delay_seconds + _GRAIN_SECONDS, self._send_waiting)
        self._send_waiting()

    def _send_waiting(self) -> None:
        for replica in sorted(self.replicas, key=_room, reverse=True):
            self.freed(replica)

    def _bring_forward(self, replica: ReplicaConnection) -> bool:
        """Put the first call that may take this replica in front of the others; False if there is none."""
        if replica.calls:
            return True  # it is nobody's any more
        idle = sum(one.idle for one in self.replicas)
        running = self._running()
        refused: set[str] = set()
        for call in self.waiting:
            if call.caller not in refused:
                if idle > held_back(self._reserved, running, call.caller):
                    self.waiting.bring_forward(call)
                    return True
                refused.add(call.caller)
        return False

    def _running(self) -> Counter[str]:
        return Counter(call.caller for replica in self.replicas for call in replica.calls.values())

    def _rescale(self, now: float) -> None:
        self.demand.adjust(
            now,
            calls=len(self.waiting) + sum([len(replica.calls) for replica in self.replicas]),
            replicas=len(self.replicas),
            held_back=held_back(self._reserved, self._running()) if self._reserved else 0,
            idle_seconds=0.0 if self.busy else now - self._last_call,
            failing=self._failure is not None,
        )

    def _give_back_surplus(self) -> None:
        """End what is not wanted, those first that were not used for longest, each once it has no call; what another
        gateway wants now is left to it."""
        surplus = len(self.replicas) - self.demand.wanted
        if surplus > 0:
            unused = sorted((replica for replica in self.replicas if replica.idle), key=_last_used)
            for replica in unused[:surplus]:
                self._discard(replica, "surplus" if self._leaving else "idle")

    def _discard(self, replica: ReplicaConnection, cause: Cause) -> None:
        self._host.send(Discard(replica=replica.id, cause=cause))
        if replica in self.replicas:
            self.replicas.remove(replica)
        if replica.transport is not None:
            replica.transport.abort()

    def _may_try_again(self, call: Call) -> bool:
        return may_try_again(
            accepted=call.begun > 0,
            retried=call.retried,
            idempotent=self.version.scaling.idempotent,
            called_others=call.children is not None,
        )

    def _try_elsewhere(self, calls: list[Call]) -> None:
        for call in reversed(calls):
            call.try_again()
            self.waiting.enter_first(call)
        for replica in self.replicas:
            self.freed(replica)

    def _explain(self, replica_id: str, failure: AlgorithmFailure) -> None:
        _fail_all(self._unexplained.pop(replica_id, ()), failure)


def _last_used(replica: ReplicaConnection) -> float:
    return replica.last_used


def _room(replica: ReplicaConnection) -> int:
    return replica.room


def _measure(call: Call, now: float) -> None:
    """What a call has taken that is ended here."""
    call.duration_us = int((now - call.begun) * 1e6)
    call.queue_us = int((call.begun - call.arrived) * 1e6)


def _fail_all(calls: Iterable[Call], failure: AlgorithmFailure | CapacityError) -> None:
    for call in calls:
        if isinstance(failure, CapacityError):
            call.refuse(failure)
            continue
        if call.begun:
            call.duration_us = int((time.monotonic() - call.begun) * 1e6)
        call.fail(failure)


def _timeout(call: Call) -> AlgorithmFailure:
    limit = call.deadline - call.arrived
    return AlgorithmFailure(error_type="TimeoutError", message=f"the call took longer than its limit of {limit:g} s")
