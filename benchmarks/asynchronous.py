"""Asynchronous calls: how many a second are taken and run, and what 12,000 that are queued cost those who wait.

Accepted means: input, job and start on disk.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.harness import Measure, Report, arguments
from benchmarks.machine import cpu_seconds
from benchmarks.wrk import Caller
from slipway.testing import Platform

BODY = "[5.1,3.5,1.4,0.2]"
ECHO = "def apply(input):\n    return input\n"
SLOW = "import time\n\n\ndef apply(input):\n    time.sleep(1)\n    return input\n"
TARGET = 200  # accepted a second
_IDLE_SECONDS = 5.0


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    with tempfile.TemporaryDirectory() as directory, Platform(Path(directory) / "data") as platform:
        key = platform.account("bench")
        for name, source in (("echo", ECHO), ("slow", SLOW)):
            platform.deploy("bench", name, key, source)
            platform.publish("bench", name, key)
        rates(report, platform, key, 4 if options.quick else 10)
        crowded(report, platform, key, 2_000 if options.quick else 12_000)


def rates(report: Report, platform: Platform, key: str, seconds: int) -> None:
    """One connection, then 32, then how long until all of it has run: the last one handed in is the last one begun."""
    echo = _void(platform, key, "echo")
    began, accepted = time.monotonic(), 0.0
    for connections in (1, 32):
        load = echo.run(connections, seconds)
        accepted += load.rate * seconds
        suffix = f"{connections}_connections"
        name = f"accepted_{suffix}"
        if connections == 1:
            report.add(Measure(name=name, value=load.rate, unit="1/s"))
        else:
            met = load.rate >= TARGET and not load.wrong
            report.add(Measure(name=name, value=load.rate, unit="1/s", target=f"{TARGET}", met=met))
        report.add(Measure(name=f"accepted_p99_{suffix}", value=load.p99_ms, unit="ms"))
    _run_one(platform, key, "echo")
    report.add(Measure(name="taken_and_run", value=accepted / (time.monotonic() - began), unit="1/s"))


def crowded(report: Report, platform: Platform, key: str, queued: int) -> None:
    """With very many queued for one version: control's processor time, and the way of a call to another version."""
    slow = _void(platform, key, "slow")
    submitted = 0
    while submitted < queued:
        load = slow.run(32, 1)
        submitted += int(load.rate)
    (control,) = platform.processes()["control"]
    before = cpu_seconds(control)
    time.sleep(_IDLE_SECONDS)
    share = (cpu_seconds(control) - before) / _IDLE_SECONDS
    report.add(Measure(name="queued", value=submitted, unit=""))
    report.add(Measure(name="control_cpu_while_queued", value=100 * share, unit="%"))
    live = Caller(url=f"{platform.url}/v1/algo/bench/echo", key=key, body=BODY, expected=BODY).run(1, 3)
    report.add(Measure(name="echo_beside_p50", value=live.p50_ms, unit="ms"))
    report.add(Measure(name="echo_beside_p99", value=live.p99_ms, unit="ms"))
    began = time.monotonic()
    _run_one(platform, key, "echo")
    report.add(Measure(name="asynchronous_echo_beside", value=1000 * (time.monotonic() - began), unit="ms"))
    began = time.monotonic()
    platform.request("POST", "/v1/algo/bench/slow", key, json=1)
    report.add(Measure(name="waiting_call_of_the_same_version", value=time.monotonic() - began, unit="s"))


def _void(platform: Platform, key: str, name: str) -> Caller:
    url = f"{platform.url}/v1/algo/bench/{name}?output=void"
    return Caller(url=url, key=key, body=BODY, expected='"async":"void"')


def _run_one(platform: Platform, key: str, algorithm: str) -> None:
    """Hand a call in, and wait until it has run."""
    reply = platform.request("POST", f"/v1/algo/bench/{algorithm}?output=void", key, json=1).json()
    path = f"/v1/requests/{reply['request_id']}"
    while platform.request("GET", path, key).json()["status"] in ("queued", "running"):
        time.sleep(0.01)


if __name__ == "__main__":
    main()
