"""What processes take of the machine's memory, as Linux tells it."""

from __future__ import annotations


def own_bytes(pid: int) -> int:
    """Resident memory that is not mapped from files, pages shared with a zygote included; 0 where it is gone."""
    return _sum(f"/proc/{pid}/status", ("RssAnon:", "RssShmem:"))


def proportional_bytes(pid: int) -> int:
    """Resident memory, shared pages divided among those that share them (PSS); 0 where it is gone. About 1 ms."""
    return _sum(f"/proc/{pid}/smaps_rollup", ("Pss:",))


def _sum(path: str, names: tuple[str, ...]) -> int:
    try:
        with open(path) as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(names)) * 1024
    except OSError:
        return 0
