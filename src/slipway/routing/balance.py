"""Which replica a call goes to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Roomy(Protocol):
    """Something that takes calls."""

    @property
    def room(self) -> int:
        """How many calls more it may be sent now; none where that is not above 0."""


R = TypeVar("R", bound=Roomy)


def emptiest(replicas: Iterable[R]) -> R | None:
    """The one with the most room, the first of several; None where all are full."""
    best, most = None, 0
    for replica in replicas:
        room = replica.room
        if room > most:
            best, most = replica, room
    return best
