"""What processes take of the machine's memory, and what there is of it, as Linux tells it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_LEAST_RESERVE = 512 * 2**20


def resident_bytes(pid: int) -> int:
    """All resident memory, that of mapped files included; 0 where it is gone. The cheapest to ask for: 10 us."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def own_bytes(pid: int) -> int:
    """Resident memory that is not mapped from files, pages shared with a zygote included; 0 where it is gone."""
    return _sum(f"/proc/{pid}/status", ("RssAnon:", "RssShmem:"))


def proportional_bytes(pid: int) -> int:
    """Resident memory, shared pages divided among those that share them (PSS); 0 where it is gone. About 1 ms."""
    return _sum(f"/proc/{pid}/smaps_rollup", ("Pss:",))


def private_bytes(pid: int) -> int:
    """Resident memory that would be free if it ended: shared with nobody (USS); 0 where it is gone. About 1 ms."""
    return _sum(f"/proc/{pid}/smaps_rollup", ("Private_Clean:", "Private_Dirty:"))


def young_bytes(pid: int, baseline: int) -> int:
    """About what `private_bytes` says, for a tenth of its price, of a process that was forked a moment ago and had
    `baseline` bytes by `own_bytes` then; 0 where it is gone.

    Pages are faulted in one by one, copied or new, but for huge ones, and these add to what it has.
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            faults = int(file.read().rpartition(")")[2].split()[7])
    except OSError:
        return 0
    own = own_bytes(pid)
    return max(own - baseline, min(own, faults * PAGE_BYTES))


def parental_bytes(pid: int) -> int:
    """The same of a process that others were forked from, with the pages that they share with it."""
    return _sum(f"/proc/{pid}/smaps_rollup", ("Private_Clean:", "Private_Dirty:", "Shared_Dirty:"))


def available_bytes() -> int:
    """What the machine could give without swapping."""
    return _sum("/proc/meminfo", ("MemAvailable:",))


def bytes_for_workers(machine_bytes: int) -> int:
    """What a host takes at most where nobody says: all but a sixteenth, and half a GiB at least, for everything else;
    half of a machine that is too small for that."""
    return max(machine_bytes // 2, machine_bytes - max(_LEAST_RESERVE, machine_bytes // 16))


def machine_bytes() -> int:
    """The machine's memory, or what the control group of this process, or one above it, may take of it."""
    limits = [_sum("/proc/meminfo", ("MemTotal:",))]
    for file in _limit_files(Path("/proc/self/cgroup").read_text()):
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):
            pass  # not there, or "max"
    return min(limits)


def _limit_files(cgroups: str) -> Iterator[Path]:
    """Where version 1 and 2 keep the limits of this process's group and those above; a container sees its own only."""
    for line in cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = Path("/sys/fs/cgroup") / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        group = root / path.lstrip("/")
        yield from (folder / name for folder in (group, *group.parents) if folder.is_relative_to(root))


def _sum(path: str, names: tuple[str, ...]) -> int:
    try:
        with open(path) as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(names)) * 1024
    except OSError:
        return 0
