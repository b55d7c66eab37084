"""How strongly this machine can keep other people's code apart.

| level | what it has |
|---|---|
| `namespaces` | also process ids, mounts, network, IPC and host name of its own; as root a user for each owner |
| `process` | no privileges, Landlock, a filter of system calls, limits of resources |
| `none` | a process of its own |

gVisor (`strong`) is not there yet.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec

from slipway.errors import SandboxUnavailable
from slipway.workers.runtimes.python import landlock, probe, syscalls

Level = Literal["none", "process", "namespaces"]
LEVELS: tuple[Level, ...] = ("none", "process", "namespaces")  # the strongest last

_PACKAGES = Path(__file__).parents[3]  # where `slipway` is found
_PROBE = "slipway.workers.runtimes.python.probe"
_PROBE_SECONDS = 20.0
_NEEDED_USERS = 2_000_000


class Strength(msgspec.Struct, frozen=True):
    """The strongest level, and what keeps it from being stronger."""

    level: Level
    missing: str = ""


@functools.cache
def strength() -> Strength:
    """Of this machine, for this user: found out by trying."""
    probe = subprocess.run(
        [sys.executable, "-S", "-m", _PROBE],
        env={"PYTHONPATH": str(_PACKAGES), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=_PROBE_SECONDS,
        check=False,
    )
    if probe.returncode == 0:
        return Strength("namespaces")
    why = (probe.stderr.strip().splitlines() or ["the probe failed"])[-1]
    if landlock.version() and syscalls.names():
        return Strength("process", f"namespaces: {why}")
    return Strength("none", f"namespaces: {why}; Landlock: not in this kernel")


def choose(wanted: Level | Literal["auto"], production: bool = False) -> Level:
    """The level that was asked for; for `auto` the strongest.

    Raises SandboxUnavailable where there is no such, or where it is too weak to run other people's code in production.
    """
    found = strength()
    level = found.level if wanted == "auto" else wanted
    why = f" ({found.missing})" if found.missing else ""
    if LEVELS.index(level) > LEVELS.index(found.level):
        raise SandboxUnavailable(f"sandbox = {wanted}: this machine has {found.level} at most{why}")
    if production and level != "namespaces":
        raise SandboxUnavailable(f"production needs sandboxes of namespaces; this would run with {level}{why}")
    return level


def prepare(level: Level) -> None:
    """Get for this process what sandboxes of that level need. It must not have a second thread yet."""
    if level == "namespaces" and os.geteuid() != 0:
        probe.own_users()


def has_users() -> bool:
    """Whether processes can be given users of their own: not in a user namespace with a few ids."""
    ids = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return os.geteuid() == 0 and sum(int(count) for _, _, count in ids) >= _NEEDED_USERS
