"""Processes as Linux shows them, and a child that is restarted for as long as the platform runs."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl

FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.1, 10.0
STABLE_SECONDS = 10.0  # a process that lived so long is restarted at once when it dies
LOG_BYTES = 10 * 2**20


class Child:
    """One process of the platform, over all its lives."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        descriptors: tuple[int, ...],
        log: Path,
    ) -> None:
        self.name, self.log = name, log
        self._command, self._environment, self._descriptors = command, environment, descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._next_start = 0.0
        self._started = 0.0
        self._failures = 0

    @property
    def pid(self) -> int | None:
        """Of the present life; None between two of them."""
        return self._process.pid if self._process is not None else None

    def due(self) -> bool:
        """Whether it is time for another life."""
        return self._process is None and self._next_start <= time.monotonic()

    def start(self) -> None:
        """Begin a life, which ends when this process's does."""
        parent = os.getpid()

        def prepare() -> None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            # The signal is not sent for a parent that was gone before it was asked for.
            if os.getppid() != parent:
                os._exit(1)
            # Settings may be read again before it is ready to hear of that.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=self._descriptors,
                start_new_session=True,
                preexec_fn=prepare,
            )
        self._started = time.monotonic()

    def ended(self, code: int) -> float:
        """Note the end of a life; the seconds until the next may begin."""
        now = time.monotonic()
        if now - self._started > STABLE_SECONDS:
            self._failures = 0
        pause = restart_pause(self._failures)
        self._failures += 1
        if self._process is not None:
            self._process.returncode = code  # it has been waited for already
        self._process = None
        self._next_start = now + pause
        return pause

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        if self._process is not None:
            kill(self._process.pid, number)

    def last_line(self) -> str:
        """What it printed last."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""

    def rotate_log(self) -> None:
        """Keep one older log. The process appends to the open file, so that is emptied rather than renamed."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)


def restart_pause(failures: int) -> float:
    """Seconds to wait before the next life after that many short ones: none at first, then 0.1 doubled up to 10."""
    if failures == 0:
        return 0.0
    return float(min(LAST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 16)))


def become_subreaper() -> None:
    """From now on whatever below this process loses its parent becomes its child."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def children_of(parent: int) -> set[int]:
    """Process ids of the living children; nothing where the process is gone."""
    found: set[int] = set()
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            found |= {int(pid) for pid in task.read_text().split()}
        except OSError:
            continue
    return found


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with its id, its identity. None where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
