"""How many calls a replica is sent before it has answered the one it works on."""

from __future__ import annotations

FIRST_GUESS_SECONDS = 0.005  # what a call takes, before one was measured
_WORK_AHEAD_SECONDS = 0.001
_SMOOTHING = 0.1


def smoothed(average_seconds: float, sample_seconds: float) -> float:
    """Exponentially weighted mean of the service time."""
    return average_seconds + _SMOOTHING * (sample_seconds - average_seconds)


def window(service_seconds: float, concurrency: int, credit: int) -> int:
    """Calls in flight allowed on one replica.

    A call of 20 µs would spend as long again on the way, so up to 1 ms of work is sent ahead; a call of 5 ms waits in
    the gateway's queue, where any replica that becomes free can take it. Never more than the worker's `credit`.
    """
    ahead = credit
    if service_seconds * credit > _WORK_AHEAD_SECONDS:
        ahead = int(_WORK_AHEAD_SECONDS / service_seconds)
    return max(1, min(credit, max(concurrency, ahead)))
