"""From 1 to 1,000 calls a second in one step, 5 ms of sleep each, from one warm replica to at most 8.

Open loop: a call's latency counts from the moment it was due. Between bursts the version falls back to one replica.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.harness import Measure, Report, arguments, at_most
from benchmarks.open_loop import OpenLoop, Target
from slipway.testing import Platform

SLEEP = "import time\n\n\ndef apply(input):\n    time.sleep(0.005)\n    return input\n"
SCALING = "min_replicas = 1\nmax_replicas = 8\nidle_seconds = 5"
_IDLE_SECONDS = 12  # between bursts
_TARGETS = [Target("/v1/algo/bench/sleep")]


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    bursts, seconds = (2, 10) if options.quick else (3, 30)
    with tempfile.TemporaryDirectory() as directory, Platform(Path(directory) / "data") as platform:
        key = platform.account("bench")
        platform.deploy("bench", "sleep", key, SLEEP, scaling=SCALING)
        platform.publish("bench", "sleep", key)
        for number in range(1, bursts + 1):
            burst(report, platform, key, f"burst_{number}", seconds)
            time.sleep(_IDLE_SECONDS)


def burst(report: Report, platform: Platform, key: str, name: str, seconds: float) -> None:
    """One step up."""
    calm = OpenLoop(platform.url, key, 1, _TARGETS)
    time.sleep(3)
    calm.stop()
    before = _replicas(platform)
    load = OpenLoop(platform.url, key, 1000, _TARGETS)
    time.sleep(seconds)
    seen = load.stop()
    report.add(Measure(name=f"{name}_p50", value=seen.ms(0.5), unit="ms"))
    report.add(at_most(f"{name}_p99", seen.ms(0.99), "ms", 20))
    report.add(Measure(name=f"{name}_p999", value=seen.ms(0.999), unit="ms"))
    report.add(Measure(name=f"{name}_worst", value=seen.ms(1.0), unit="ms"))
    report.add(at_most(f"{name}_wrong", seen.wrong, "calls", 0))
    report.add(Measure(name=f"{name}_good", value=seen.good, unit="calls"))
    report.add(Measure(name=f"{name}_replicas_before", value=before, unit=""))
    report.add(Measure(name=f"{name}_replicas_after", value=_replicas(platform), unit=""))


def _replicas(platform: Platform) -> int:
    return len(machine.workers(platform, "bench/sleep"))


if __name__ == "__main__":
    main()
