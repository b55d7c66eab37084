"""Waiting longer after each failure in a row."""

from __future__ import annotations

import time

from slipway.types import AlgorithmFailure


class BackOff:
    """When a version that failed may be tried again."""

    def __init__(self, first_seconds: float, last_seconds: float) -> None:
        self._first, self._last = first_seconds, last_seconds
        self._failures: dict[str, tuple[int, float, AlgorithmFailure]] = {}  # in a row, not before, the last one

    def failed(self, version_id: str, failure: AlgorithmFailure) -> float:
        """Count a failure; the seconds to wait: doubled each time. Several at once, of one attempt, count once."""
        now = time.monotonic()
        count, until, _ = self._failures.get(version_id, (0, 0.0, failure))
        if now < until:
            return until - now
        delay = min(self._last, self._first * 2.0 ** min(count, 32))
        self._failures[version_id] = (count + 1, now + delay, failure)
        return delay

    def worked(self, version_id: str) -> None:
        """Forget its failures."""
        self._failures.pop(version_id, None)

    def remaining(self, version_id: str) -> float:
        """Seconds until it may be tried; 0 when it may."""
        _, until, _ = self._failures.get(version_id, (0, 0.0, None))
        return max(0.0, until - time.monotonic())

    def last_failure(self, version_id: str) -> AlgorithmFailure | None:
        """Why it failed last."""
        known = self._failures.get(version_id)
        return known[2] if known else None
