"""A worker's process as the host sees it, whoever its parent is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from slipway.workers.memory import own_bytes, resident_bytes
from slipway.workers.sandbox.launching import kill_group, kill_tree


class WorkerProcess:
    """From its birth, when the kernel has named its pid, to its end. `on_exit()` is called once, after the end."""

    def __init__(self, on_exit: Callable[[], None]) -> None:
        self.pid = 0  # 0 until it is born
        self.fresh = False  # started by the host itself, not forked from a zygote
        self.ended = asyncio.Event()
        self.status = 0  # as from wait(2)
        self.peak_bytes = 0  # resident, beyond what it was born with; 0 where nobody measured
        self.baseline_bytes = 0  # what it was born with
        self.refused: dict[str, int] = {}  # of what its control group was refused, how often: memory, pids
        self._doomed = False
        self._on_exit = [on_exit]

    @property
    def lives(self) -> bool:
        """Whether there is a process."""
        return self.pid != 0 and not self.ended.is_set()

    def born(self, pid: int, baseline_bytes: int | None = None) -> None:
        """It has a pid, and does nothing before its hello: what it holds now it has from its zygote.

        Of a template it has the model as well, which is its own to answer for: `baseline_bytes` is then without that.
        """
        self.pid = pid
        self.baseline_bytes = own_bytes(pid) if baseline_bytes is None else baseline_bytes
        if self._doomed:
            kill_tree(pid)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call this too after the end, before what was given first."""
        self._on_exit.insert(0, callback)

    def exceeds(self, limit_bytes: int) -> bool:
        """Whether it has more memory of its own than that beyond what it was born with."""
        if not self.lives or resident_bytes(self.pid) <= limit_bytes:
            return False  # its own is a part of that
        return own_bytes(self.pid) - self.baseline_bytes > limit_bytes

    def kill(self) -> None:
        """End it at once; its exit is reported as any other."""
        self._doomed = True
        if self.lives:
            kill_tree(self.pid)

    def exited(self, status: int, peak_bytes: int) -> None:
        """It has ended and was waited for."""
        if self.ended.is_set():
            return
        self.status, self.peak_bytes = status, max(0, peak_bytes - self.baseline_bytes)
        self.ended.set()
        # What it left behind in its group ends with it.
        kill_group(self.pid)
        for callback in self._on_exit:
            callback()


def line_of(pid: int) -> Iterator[int]:
    """A process, its parent, and so on, as far as they live."""
    while pid > 1:
        yield pid
        try:
            with open(f"/proc/{pid}/stat") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            return
