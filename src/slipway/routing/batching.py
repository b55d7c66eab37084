"""Whether calls that wait may go to an idle replica, or stay for company."""

from __future__ import annotations


def ripe(waiting: int, waited_seconds: float, max_batch: int, delay_seconds: float) -> bool:
    """Whether what waits is a whole batch, or the oldest of it has waited as long as it may.

    Without a delay everything is ripe that waits: nobody stays for company while a replica is idle.
    """
    return waiting >= max_batch or (waiting > 0 and waited_seconds >= delay_seconds)
