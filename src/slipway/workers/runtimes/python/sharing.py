"""What keeps a process that has loaded a model from being forked: whatever its children could not share."""

from __future__ import annotations

import os
import stat
from typing import List, Set, Tuple

_HARMLESS = frozenset({"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"})


def threads() -> int:
    """How many this process has beside the one that asks."""
    return len(os.listdir("/proc/self/task")) - 1


def open_descriptors() -> Set[int]:
    """Those of this process."""
    directory = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        return {int(name) for name in os.listdir(directory)} - {directory}
    finally:
        os.close(directory)


def unshareable(before: Set[int]) -> str:
    """What `load()` has left that forks would disturb each other with; empty where there is nothing.

    Threads do not survive a fork. Of a socket, a pipe, an event loop, a device or a file that is read on demand, the
    forks would all use one and the same. `before` are the descriptors that were open before it ran.
    """
    if count := threads():
        return f"its load() left {plural(count, 'thread')}"
    if count := len(_children()):
        return f"its load() left {plural(count, 'process', 'processes')} running"
    mapped = _mapped_files()
    left = [number for number in sorted(open_descriptors() - before) if not _may_be_shared(number, mapped)]
    if left:
        return f"its load() left {plural(len(left), 'open file')}, the first of them {_target(left[0])}"
    return ""


def plural(count: int, one: str, many: str = "") -> str:
    """`1 thread`, `2 threads`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def _children() -> List[str]:
    try:
        with open("/proc/thread-self/children") as file:
            return file.read().split()
    except OSError:
        return []  # a kernel without that file


def _may_be_shared(number: int, mapped: Set[Tuple[int, int]]) -> bool:
    """A file that is mapped is read through its pages, which have no position."""
    try:
        found = os.fstat(number)
    except OSError:
        return True
    if stat.S_ISREG(found.st_mode):
        return (found.st_dev, found.st_ino) in mapped
    return stat.S_ISCHR(found.st_mode) and _target(number) in _HARMLESS


def _mapped_files() -> Set[Tuple[int, int]]:
    """Device and inode of every file that is mapped."""
    found = set()
    with open("/proc/self/maps") as lines:
        for line in lines:
            fields = line.split(None, 5)
            if fields[4] != "0":
                major, minor = fields[3].split(":")
                found.add((os.makedev(int(major, 16), int(minor, 16)), int(fields[4])))
    return found


def _target(number: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""
