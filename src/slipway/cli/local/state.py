"""What runs on this machine: processes as the kernel shows them, the rest as control answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from slipway.cli.output import print_table, say
from slipway.client import Client, ClientError
from slipway.premises import occupant
from slipway.processes import children_of
from slipway.settings import Settings

_TIMEOUT_SECONDS = 10.0


def platform_state(settings: Settings) -> dict[str, Any]:
    """The state of the platform on a data directory. Raises StartupError where it may not be read."""
    running = occupant(settings)
    if running is None:
        return {"running": False, "data": str(settings.root)}
    platform, problem = _asked(running.url, settings)
    return {
        "running": True,
        "data": str(settings.root),
        "url": running.url,
        "pid": running.pid,
        "version": running.version,
        "processes": _processes(running.pid),
        "platform": platform,
        "problem": problem,
    }


def show(found: dict[str, Any]) -> None:
    """The same for a person."""
    if not found["running"]:
        say(f"no platform runs on {found['data']}: `slipway up` starts one")
        return
    say(f"Slipway {found['version']} listens on {found['url']} (process {found['pid']}, data in {found['data']})")
    rows = [(one["name"], one["pid"], f"{one['memory_bytes'] / 2**20:.0f} MiB") for one in found["processes"]]
    print_table(("PROCESS", "PID", "MEMORY"), rows)
    if found["problem"]:
        say(f"control does not answer: {found['problem']}")
        return
    platform = found["platform"]
    say(f"host {platform['host']}, journal {platform['journal']}, observer {platform['observer_lag_seconds']} s behind")
    if memory := platform.get("worker_memory"):
        taken, most = (f"{memory[name] / 2**20:,.0f} MiB" for name in ("taken_bytes", "limit_bytes"))
        parents = f"zygotes: {platform['zygotes']}, templates: {platform['templates']}"
        say(f"{parents}; workers and these take {taken} of {most}")
    for build in platform["builds_in_progress"]:
        say(f"building: {build}")
    calls = platform["asynchronous_calls"]
    if any(calls.values()):
        say(f"asynchronous calls: {calls['queued']} wait, {calls['running']} run")
    replicas = [
        (one["algorithm"], one["id"], one["state"], one["gateway"], f"{one['memory_bytes'] / 2**20:.1f} MiB")
        for one in platform["replicas"]
    ]
    print_table(("ALGORITHM", "REPLICA", "STATE", "GATEWAY", "MEMORY"), replicas, "no replica runs")


def _asked(url: str, settings: Settings) -> tuple[dict[str, Any] | None, str]:
    try:
        key = settings.admin_key or settings.admin_key_file.read_text().strip()
        with Client(url, key, timeout=_TIMEOUT_SECONDS) as client:
            return client.status(), ""
    except (ClientError, OSError) as error:
        return None, str(error)


def _processes(supervisor: int) -> list[dict[str, Any]]:
    found = [{"name": "supervisor", "pid": supervisor, "memory_bytes": _memory(supervisor)}]
    for pid in sorted(children_of(supervisor)):
        if name := _name(pid):
            found.append({"name": name, "pid": pid, "memory_bytes": _memory(pid)})
    return found


def _name(pid: int) -> str:
    """What `python -m slipway.app NAME` was started with; empty for anything else."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return ""
    return words[words.index("slipway.app") + 1] if "slipway.app" in words else ""


def _memory(pid: int) -> int:
    """Proportional set size in bytes; resident size where that may not be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        pass
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
