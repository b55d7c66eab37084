"""How soon calls are answered again after `kill -9` of each kind of process, while 32 connections call; and what 1,000
calls a second that nobody holds back see of a worker's end: only those that it had accepted may fail.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.harness import Measure, Report, arguments, at_most
from benchmarks.open_loop import Calls, OpenLoop, Target
from slipway.ids import id_bytes
from slipway.journal.reader import find_call
from slipway.journal.records import CallRecord
from slipway.testing import Platform

ECHO = "def apply(input):\n    return input\n"
SCIKIT = "import sklearn.linear_model\n\n\ndef apply(input):\n    return input\n"
_RATE = 1000  # calls a second, open loop
KINDS = ("worker", "host", "control", "observer", "gateway")


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    rounds = 2 if options.quick else 5
    with tempfile.TemporaryDirectory() as directory, Platform(Path(directory) / "data") as platform:
        key = platform.account("bench")
        platform.deploy("bench", "echo", key, ECHO)
        platform.publish("bench", "echo", key)
        for kind in KINDS:
            waits = [asyncio.run(_interruption(platform, key, "echo", kind)) for _ in range(rounds)]
            report.add(at_most(f"echo_after_kill_of_{kind}", max(waits), "s", 2))
        scikit(report, platform, key, rounds)
        under_load(report, platform, key, rounds)


def scikit(report: Report, platform: Platform, key: str, rounds: int) -> None:
    """A worker that needs scikit-learn, after it, or the host with its zygote, was killed."""
    platform.deploy("bench", "scikit", key, SCIKIT, requirements="scikit-learn\n")
    platform.publish("bench", "scikit", key)
    for kind in ("worker", "host"):
        waits = [asyncio.run(_interruption(platform, key, "scikit", kind)) for _ in range(rounds)]
        report.add(Measure(name=f"scikit_after_kill_of_{kind}", value=statistics.median(waits), unit="s"))


def under_load(report: Report, platform: Platform, key: str, rounds: int) -> None:
    """A worker is killed under 1,000 calls a second, open loop."""
    failed, unaccepted, next_ms, worst_ms = 0, 0, [], []
    for _ in range(rounds):
        load = OpenLoop(platform.url, key, _RATE, [Target("/v1/algo/bench/echo")])
        time.sleep(3)
        killed = time.monotonic()
        for pid in _victims(platform, "worker", "echo"):
            os.kill(pid, signal.SIGKILL)
        time.sleep(3)
        seen = load.stop()
        after = [call for call in seen.all if call.due > killed and call.right]
        next_ms.append(1e3 * (min(call.due + call.seconds for call in after) - killed))
        worst_ms.append(1e3 * max(call.seconds for call in after))
        failed += seen.wrong
        unaccepted += _unaccepted(platform, seen)
    report.add(Measure(name="open_loop_failed", value=failed, unit="calls"))
    report.add(at_most("open_loop_failed_not_accepted", unaccepted, "calls", 0))
    report.add(at_most("open_loop_next_call_served", max(next_ms), "ms", 100))
    report.add(Measure(name="open_loop_worst_right_call", value=max(worst_ms), unit="ms"))


def _unaccepted(platform: Platform, seen: Calls) -> int:
    """Failed calls that no worker had accepted, by their records: these have no duration."""
    failed = [call.request_id for call in seen.all if not call.right]
    return sum(not request or not _accepted(platform, request) for request in failed)


def _accepted(platform: Platform, request_id: str) -> bool:
    records = [entry.record for entry in find_call(platform.data / "journal", id_bytes(request_id))]
    return any(isinstance(record, CallRecord) and record.duration_us > 0 for record in records)


async def _interruption(platform: Platform, key: str, name: str, kind: str) -> float:
    """Kill, and return the longest time in which no call was answered, in seconds."""
    moments: list[float] = []
    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(_call_on(platform, key, name, moments)) for _ in range(32)]
        await _count(moments, 200)
        killed = time.monotonic()
        for pid in _victims(platform, kind, name):
            os.kill(pid, signal.SIGKILL)
        await _count(moments, len(moments) + 300)
        for caller in callers:
            caller.cancel()
    after = [killed, *(moment for moment in moments if moment > killed)]
    return max(later - earlier for earlier, later in itertools.pairwise(after))


async def _count(moments: list[float], number: int) -> None:
    async with asyncio.timeout(60):
        while len(moments) < number:
            await asyncio.sleep(0.005)


async def _call_on(platform: Platform, key: str, name: str, moments: list[float]) -> None:
    headers = {"Authorization": f"Simple {key}", "Content-Type": "application/json"}
    while True:
        try:
            async with httpx.AsyncClient(headers=headers, timeout=30) as client:
                while True:
                    reply = await client.post(f"{platform.url}/v1/algo/bench/{name}", content="1")
                    if reply.json().get("result") == 1:
                        moments.append(time.monotonic())
        except (httpx.TransportError, ValueError):
            await asyncio.sleep(0.01)


def _victims(platform: Platform, kind: str, name: str) -> list[int]:
    if kind != "worker":
        return platform.processes()[kind]
    replicas = platform.request("GET", "/v1/status").json()["replicas"]
    return [replica["pid"] for replica in replicas if replica["algorithm"] == f"bench/{name}"]


if __name__ == "__main__":
    main()
