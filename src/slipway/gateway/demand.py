"""How many replicas of one version this gateway asks the host for."""

from __future__ import annotations

from typing import Protocol

from slipway.routing.reservations import NOTHING, Reserved
from slipway.routing.scaling import Recent, fewest_replicas, most_replicas, needed_replicas, wanted_replicas
from slipway.routing.sendahead import FIRST_GUESS_SECONDS, smoothed
from slipway.types import Version
from slipway.wire.messages import Discard, Want


class ToHost(Protocol):
    """Where a queue sends what it wants of the host."""

    def send(self, message: Want | Discard) -> None:
        """Send, or drop while the host is away: wants are repeated when it is back."""


class Demand:
    """What is wanted of the host, kept in step with what is measured; the decision is `routing.scaling`'s."""

    def __init__(self, version: Version, host: ToHost) -> None:
        self.wanted = 0
        self._version, self._host = version, host
        self._reserved = NOTHING
        self.least, self._most = fewest_replicas(version.scaling), most_replicas(version.scaling)  # that there ever are
        self._raised_at = 0.0  # when more were asked for last
        self._service_seconds = FIRST_GUESS_SECONDS
        self._served = False  # whether that was ever measured
        self._recent = Recent()  # how many replicas were needed

    @property
    def may_grow(self) -> bool:
        """Whether more could be asked for."""
        return self.wanted < self._most

    def reserve(self, reserved: Reserved) -> None:
        """What is reserved of the version has changed; the next `adjust` heeds it."""
        self._reserved = reserved
        self.least = fewest_replicas(self._version.scaling, reserved)
        self._most = most_replicas(self._version.scaling, reserved)

    def served(self, seconds: float) -> None:
        """A call has taken that long."""
        self._service_seconds = smoothed(self._service_seconds, seconds) if self._served else seconds
        self._served = True

    def lasts(self, seconds: float) -> None:
        """A call has taken that long so far: it counts before it has ended."""
        if seconds > self._service_seconds:
            self._served, self._service_seconds = True, seconds

    def adjust(
        self, now: float, *, calls: int, replicas: int, held_back: int, idle_seconds: float, failing: bool
    ) -> None:
        """Ask for as many as there should be, if that has changed.

        `calls` wait or have a replica, of which there are `replicas`, `held_back` of them for others than call now;
        none came for `idle_seconds`; `failing`: the last start failed.
        """
        needed = self._needed(calls, failing and idle_seconds < 1)
        needed += held_back if needed else 0
        wanted = wanted_replicas(
            self._version.scaling,
            needed=needed,
            recently=self._recent.note(needed, now),
            wanted=self.wanted,
            idle_seconds=idle_seconds,
            loading=0 if failing else self._loading(replicas, now),
            reserved=self._reserved,
        )
        if wanted > self.wanted:
            self._raised_at = now
        if wanted != self.wanted:
            self.wanted = wanted
            self._host.send(Want(version=self._version, replicas=wanted))

    def give_back(self, replicas: int) -> None:
        """The host needs the room: until there is another call, no more than that many are wanted."""
        self.wanted = min(self.wanted, replicas)
        self._recent = Recent()
        self._host.send(Want(version=self._version, replicas=self.wanted))

    def repeat(self) -> None:
        """Tell a host that is back."""
        if self.wanted:
            self._host.send(Want(version=self._version, replicas=self.wanted))

    def withdraw(self) -> None:
        """Want none, whatever is measured."""
        self.wanted = 0
        self._host.send(Want(version=self._version, replicas=0))

    def _needed(self, calls: int, failed_just_now: bool) -> int:
        if not self._served:
            # How many there must be is known once there is one. A call that was answered with the last start's failure
            # has not waited, and wants a replica all the same.
            return int(calls > 0 or failed_just_now)
        return needed_replicas(calls, self._service_seconds, self._version.scaling.concurrency)

    def _loading(self, replicas: int, now: float) -> int:
        """Those that were asked for and are not there, while they may still be loading: the host may have no room."""
        overdue = now - self._raised_at > self._version.scaling.load_seconds
        return 0 if overdue else max(0, self.wanted - replicas)
