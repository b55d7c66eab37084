"""What the kernel says of processes and of the disk."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from slipway.testing import Platform, descendants
from slipway.workers.memory import proportional_bytes

MIB = 2**20
_ZYGOTE, _SPAWNER = "slipway-zygote", "slipway-spawner"
_PATIENCE_SECONDS = 120.0


def fdatasync_ms(directory: Path, samples: int = 300) -> float:
    """Median time of appending 400 bytes to a preallocated file and `fdatasync`."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        os.posix_fallocate(file.fileno(), 0, 400 * samples)
        times = []
        for number in range(samples):
            started = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * 400, 400 * number)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def born(pid: int) -> float:
    """When a process was started, in Unix seconds; now where it has ended."""
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.time()
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(parts[19]) / os.sysconf("SC_CLK_TCK")


def proportional_mib(pids: Iterable[int]) -> float:
    """Resident memory of these processes, pages that are shared with others divided among all that share them (PSS)."""
    return sum(proportional_bytes(pid) for pid in pids) / MIB


def private_mib(pid: int) -> float:
    """Resident memory that no other process shares (USS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024 / MIB


def platform_mib(platform: Platform) -> float:
    """What all processes of a platform take together (PSS), its supervisor's and its workers' included."""
    return proportional_mib([platform.pid, *descendants(platform.pid)])


def wait(condition: Callable[[], bool]) -> None:
    """Until it holds. Exits where it does not within two minutes."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("what was waited for did not come")
        time.sleep(0.02)


def workers(platform: Platform, algorithm: str) -> list[int]:
    """The processes of an algorithm `owner/name`; a worker names itself by the last 15 characters of that."""
    return [pid for pid in descendants(platform.pid) if _name(pid) == algorithm[-15:]]


def zygotes(host: int) -> dict[int, str]:
    """The digest of each zygote's environment, by process id; `host` is that of the process that starts them.

    Only where they can be is looked: among thousands of workers a look at all costs more than what is measured.
    """
    found: list[int] = []
    looked_at = [host]
    while looked_at:
        children = _children(looked_at.pop())
        looked_at += [pid for pid in children if _name(pid) == _SPAWNER]
        found += [pid for pid in children if _name(pid) == _ZYGOTE]
    return {pid: digest for pid in found if (digest := _environment(pid))}


def _children(pid: int) -> list[int]:
    try:
        lists = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []  # it has just ended
    return [int(child) for child in " ".join(lists).split()]


def _environment(pid: int) -> str:
    """It is started as `…/environments/DIGEST/bin/python …`; nothing where it has just ended."""
    try:
        interpreter = Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0]
    except OSError:
        return ""
    return Path(interpreter).parents[1].name


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
