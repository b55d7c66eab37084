"""Control groups: what a worker and all that it starts may take of memory, processors and process ids.

Each worker has one of its own below the host's, in version 1 one of each controller; none where they cannot be written.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
_SLACK_BYTES = 64 * 2**20  # beyond the worker's limit, which is watched and enforced by itself, more kindly
_LEAST_CPU = 0.01
_TRIES, _PAUSE_SECONDS = 100, 0.002  # to remove one whose processes are dying
_WANTED = ("memory", "pids", "cpu")


class Groups:
    """Those of a host. `limits` names the controllers that work."""

    def __init__(self, root: Path = _ROOT) -> None:
        self._version2 = (root / "cgroup.controllers").exists()
        self._bases: dict[str, Path] = {}  # by controller; in version 2 they are all the same
        self._named: set[str] = set()
        for controller, parent in _places(root, self._version2):
            base = parent / f"slipway-{os.getpid()}"
            with contextlib.suppress(OSError):
                base.mkdir(exist_ok=True)
                if self._version2:
                    (base / "cgroup.subtree_control").write_text(f"+{controller}")
                self._bases[controller] = base

    @property
    def limits(self) -> tuple[str, ...]:
        """The controllers that work."""
        return tuple(self._bases)

    def make(self, key: str, memory_bytes: int, cpu: float, processes: int) -> tuple[int, ...]:
        """A group with such limits: descriptors by which a process of one thread joins it. Raises OSError."""
        values = {
            "memory": ("memory.max" if self._version2 else "memory.limit_in_bytes", memory_bytes + _SLACK_BYTES),
            "pids": ("pids.max", processes),
            "cpu": self._quota(cpu),
        }
        self._named.add(key)
        for controller, base in self._bases.items():
            (base / key).mkdir(exist_ok=True)
            file, value = values[controller]
            (base / key / file).write_text(str(value))
        # A thread that moves itself takes no lock; a process, even of one thread, waits 9 ms for that of all forks.
        file = "cgroup.procs" if self._version2 else "tasks"
        return tuple(os.open(folder / file, os.O_WRONLY | os.O_CLOEXEC) for folder in self._folders(key))

    def refused(self, key: str) -> dict[str, int]:
        """How often its processes were refused memory (and one was killed) and processes, by these names."""
        memory = "memory.events" if self._version2 else "memory.oom_control"
        found = {"memory": (memory, "oom_kill"), "pids": ("pids.events", "max")}
        return {
            name: count
            for name, (file, line) in found.items()
            if name in self._bases and (count := _number(self._bases[name] / key / file, line))
        }

    def remove(self, key: str) -> None:
        """Kill what is left in it, and have it no more. Blocks for some milliseconds at worst."""
        if key not in self._named:
            return
        self._named.discard(key)
        for folder in self._folders(key):
            for _ in range(_TRIES):
                _kill_all(folder)
                with contextlib.suppress(FileNotFoundError):
                    if not _removed(folder):
                        time.sleep(_PAUSE_SECONDS)
                        continue
                break

    def close(self) -> None:
        """Remove all."""
        for key in list(self._named):
            self.remove(key)
        for base in set(self._bases.values()):
            with contextlib.suppress(OSError):
                base.rmdir()

    def _quota(self, cpu: float) -> tuple[str, object]:
        quota = int(max(cpu, _LEAST_CPU) * _PERIOD_US)
        return ("cpu.max", f"{quota} {_PERIOD_US}") if self._version2 else ("cpu.cfs_quota_us", quota)

    def _folders(self, key: str) -> list[Path]:
        return list(dict.fromkeys(base / key for base in self._bases.values()))


def _places(root: Path, version2: bool) -> Iterator[tuple[str, Path]]:
    """Controllers, and the directories in which their groups can be made."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    if version2:
        own = next((path for _, names, path in lines if not names), "/")
        # Where the root may be written its processes are nobody's concern; elsewhere the own group must be delegated.
        place = root if os.access(root / "cgroup.procs", os.W_OK) else root / own.lstrip("/")
        offered = (place / "cgroup.controllers").read_text().split()
        yield from ((name, place) for name in _WANTED if name in offered)
        return
    for _, names, path in lines:
        for name in set(names.split(",")) & set(_WANTED):
            yield name, root / names / path.lstrip("/")


def _kill_all(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text().split():
            if pid != "0":  # of a namespace that cannot be seen from here
                os.kill(int(pid), 9)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _number(file: Path, name: str) -> int:
    try:
        words = dict(line.split(None, 1) for line in file.read_text().splitlines() if " " in line)
        return int(words.get(name, "0"))
    except (OSError, ValueError):
        return 0
