"""Requests without a good key: nobody is named, so that they are counted, not recorded one by one."""

from __future__ import annotations

import asyncio
from collections import Counter

from slipway.journal.writer import JournalWriter

_COUNT_SECONDS = 1.0
_MOST_PLACES = 100


class Refusals:
    """One event a second and place with their number."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._counted: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def count(self, place: str) -> None:
        """One more, at that route."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_COUNT_SECONDS, self.flush)
        known = place in self._counted or len(self._counted) < _MOST_PLACES
        self._counted[place if known else "others"] += 1

    def flush(self) -> None:
        """Record what was counted."""
        counted, self._counted = self._counted, Counter()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for place, count in counted.items():
            self._journal.event("", "authenticate", place, "refused", count=str(count))
