"""Looks at this machine: each check answers whether one thing is there, and what to do if not."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from slipway.settings import Settings

Verdict = Literal["yes", "no", "partly"]

_SYNC_ROUNDS = 50
_LEAST_DISK = 2 * 2**30
_LEAST_MEMORY = 2 * 2**30
_SLOW_SYNC_SECONDS = 0.01


class Finding(msgspec.Struct, frozen=True):
    """One capability: whether it is there, what was seen, and what it is for or how to get it."""

    name: str
    verdict: Verdict
    seen: str
    advice: str = ""
    needed: bool = False  # without it the platform does not work


def _python(_settings: Settings) -> Finding:
    return Finding("python", "yes", f"{sys.version.split()[0]} at {sys.executable}", needed=True)


def _interpreters(settings: Settings) -> Finding:
    from slipway.release.interpreters import Interpreters

    found = asyncio.run(Interpreters(settings.interpreters).find())
    seen = ", ".join(f"{one.version_text} ({one.path})" for one in found)
    private = [one for one in found if not one.shared]
    advice = "some lie where only their owner can run them" if private else ""
    return Finding("interpreters for algorithms", "yes" if found else "no", seen or "none", advice, needed=True)


def _server(_settings: Settings) -> Finding:
    try:
        from slipway.control import app as control
    except ImportError as error:
        return Finding("server", "no", str(error), "pip install 'slipway[server]'", needed=True)
    return Finding("server", "yes", f"installed ({control.__name__.partition('.')[0]})", needed=True)


def _uv(_settings: Settings) -> Finding:
    try:
        from uv import find_uv_bin

        path = str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return Finding("uv", "no", "not found", "pip install uv: it builds environments", needed=True)
    return Finding("uv", "yes", _first_line([path, "--version"]) or path, needed=True)


def _git(_settings: Settings) -> Finding:
    path = shutil.which("git")
    if path is None:
        return Finding("git", "no", "not found", "apt install git: algorithms live in repositories", needed=True)
    backend = Path(_first_line([path, "--exec-path"])) / "git-http-backend"
    seen = _first_line([path, "--version"])
    if not backend.exists():
        return Finding("git", "no", f"{seen}, without http-backend", "apt install git", needed=True)
    return Finding("git", "yes", seen, needed=True)


def _sandboxes(_settings: Settings) -> Finding:
    from slipway.workers.sandbox.levels import strength

    found = strength()
    verdict: Verdict = "yes" if found.level == "namespaces" else "partly" if found.level == "process" else "no"
    how = "a user for each owner" if os.geteuid() == 0 else "one user for all, in a user namespace"
    seen = f"namespaces, {how}" if found.level == "namespaces" else found.level
    return Finding("sandboxes", verdict, seen, f"{found.missing}: tenants are kept apart less" if found.missing else "")


def _landlock(_settings: Settings) -> Finding:
    from slipway.workers.runtimes.python.landlock import version

    found = version()
    return Finding("Landlock", "yes" if found else "no", f"version {found}" if found else "not in this kernel")


def _cgroups(_settings: Settings) -> Finding:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        controllers = (root / "cgroup.controllers").read_text().split()
        version, place = "v2", root
        seen = f"v2 with {', '.join(controllers) or 'no controllers'}"
    elif (root / "memory").is_dir():
        version, place = "v1", root / "memory"
        seen = "v1" + (", hybrid" if (root / "unified").is_dir() else "")
    else:
        return Finding("cgroups", "no", "none mounted", "memory limits are watched instead")
    writable = os.access(place, os.W_OK) and not _is_read_only(place)
    verdict: Verdict = "yes" if writable else "partly"
    advice = "" if writable else f"cgroup {version} cannot be written here: memory limits are watched instead"
    return Finding("cgroups", verdict, f"{seen}, {'writable' if writable else 'read-only'}", advice)


def _durable_writes(settings: Settings) -> Finding:
    directory = _existing(settings.root)
    file = directory / f".slipway-doctor-{os.getpid()}"
    try:
        seconds = sorted(_sync_seconds(file))
    except OSError as error:
        return Finding("data directory", "no", f"{directory}: {error.strerror}", "choose another `--data`", needed=True)
    finally:
        file.unlink(missing_ok=True)
    middle, slow = seconds[len(seconds) // 2], seconds[-2]
    advice = "a call waits for one of these: a faster disk helps" if middle > _SLOW_SYNC_SECONDS else ""
    seen = f"fdatasync in {directory}: p50 {middle * 1e3:.2f} ms, worst but one {slow * 1e3:.2f} ms"
    return Finding("durable writes", "yes", seen, advice, needed=True)


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(_existing(settings.root)).free
    verdict: Verdict = "yes" if free > _LEAST_DISK else "partly"
    return Finding("disk space", verdict, f"{free / 2**30:.1f} GiB free", "" if verdict == "yes" else "make room")


def _memory(_settings: Settings) -> Finding:
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    verdict: Verdict = "yes" if available > _LEAST_MEMORY else "partly"
    return Finding("memory", verdict, f"{available / 2**30:.1f} GiB available on {os.cpu_count()} cores")


def _wrk(_settings: Settings) -> Finding:
    found = shutil.which("wrk") is not None
    return Finding("wrk", "yes" if found else "no", "for benchmarks only", "" if found else "apt install wrk")


CHECKS: tuple[Callable[[Settings], Finding], ...] = (
    _python,
    _server,
    _interpreters,
    _uv,
    _git,
    _durable_writes,
    _disk,
    _memory,
    _cgroups,
    _sandboxes,
    _landlock,
    _wrk,
)


def _sync_seconds(file: Path) -> list[float]:
    taken = []
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _ in range(_SYNC_ROUNDS):
            os.write(descriptor, b"x" * 400)
            begun = time.perf_counter()
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - begun)
    finally:
        os.close(descriptor)
    return taken


def _existing(directory: Path) -> Path:
    """The directory, or the one above it in which it would be made."""
    return next(place for place in (directory, *directory.parents) if place.is_dir())


def _is_read_only(place: Path) -> bool:
    return bool(os.statvfs(place).f_flag & os.ST_RDONLY)


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _first_line(command: list[str]) -> str:
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (output.strip().splitlines() or [""])[0]
