"""How many replicas a version should have."""

from __future__ import annotations

from slipway.types import Scaling

_PATIENCE_SECONDS = 0.05


def wanted_replicas(
    scaling: Scaling, *, waiting: int, oldest_wait_seconds: float, ready: int, wanted: int, idle_seconds: float
) -> int:
    """The number of replicas to ask for, between `min_replicas` and `max_replicas`.

    One as soon as a call waits; one more at a time while the oldest has waited for longer than 50 ms although all that
    were asked for are ready; back to the minimum when no call came for `idle_seconds`.
    """
    floor, ceiling = scaling.min_replicas, max(1, scaling.max_replicas, scaling.min_replicas)
    if waiting == 0:
        return floor if idle_seconds >= scaling.idle_seconds else max(wanted, floor)
    if wanted > ready:
        return max(wanted, 1)
    growth = 1 if oldest_wait_seconds > _PATIENCE_SECONDS or wanted == 0 else 0
    return min(ceiling, max(wanted + growth, floor))
