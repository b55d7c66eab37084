"""How many replicas a version should have."""

from __future__ import annotations

import math

from slipway.routing.reservations import NOTHING, Reserved
from slipway.types import Scaling

_DRAIN_SECONDS = 0.005
_RECENT_SECONDS = 30.0


def needed_replicas(calls: int, service_seconds: float, concurrency: int) -> int:
    """As many as would serve all calls that are there, waiting or begun, within 5 ms, or within one call's time.

    By Little's law that is the load: 1,000 calls/s of 5 ms are 5 calls at a time. `service_seconds` is what one takes.
    """
    drained_seconds = max(_DRAIN_SECONDS, service_seconds)
    return math.ceil(calls * service_seconds / (drained_seconds * concurrency) - 1e-9)


def fewest_replicas(scaling: Scaling, reserved: Reserved = NOTHING) -> int:
    """The number that there always is; what is reserved for single callers comes on top."""
    return max(scaling.min_replicas, reserved.everyone) + sum(reserved.callers.values())


def most_replicas(scaling: Scaling, reserved: Reserved = NOTHING) -> int:
    """The number that is never exceeded: reservations for single callers take nothing from the others' maximum."""
    return max(1, scaling.max_replicas, scaling.min_replicas, reserved.everyone) + sum(reserved.callers.values())


def wanted_replicas(
    scaling: Scaling,
    *,
    needed: int,
    recently: int,
    wanted: int,
    idle_seconds: float,
    loading: int = 0,
    reserved: Reserved = NOTHING,
) -> int:
    """The number of replicas to ask for, between the fewest and the most.

    Up at once to what is `needed`; down no further than the most that was needed `recently`, and to one; back to the
    fewest when no call came for `idle_seconds`; never below those that are `loading`, whose start would have been for
    nothing. `wanted` is what was asked for last.
    """
    kept = 0 if not needed and idle_seconds >= scaling.idle_seconds else max(needed, min(wanted, max(1, recently)))
    return min(most_replicas(scaling, reserved), max(fewest_replicas(scaling, reserved), loading, kept))


class Recent:
    """The greatest of the values noted in the last 30 to 60 seconds."""

    __slots__ = ("_before", "_now", "_turn")

    def __init__(self) -> None:
        self._before = self._now = 0
        self._turn = 0.0

    def note(self, value: int, now: float) -> int:
        """Add a value at a time in seconds, no earlier than the last; returns the greatest."""
        if now - self._turn >= _RECENT_SECONDS:
            self._before = self._now if now - self._turn < 2 * _RECENT_SECONDS else 0
            self._now, self._turn = 0, now
        self._now = max(self._now, value)
        return max(self._now, self._before)
