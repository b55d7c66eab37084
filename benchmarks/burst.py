"""From 1 to 1,000 calls a second in one step, 5 ms of sleep each, from one warm replica to at most 8.

Open loop: a call's latency counts from the moment it was due. Between bursts the version falls back to one replica.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.harness import Measure, Report, arguments
from benchmarks.open_loop import OpenLoop
from slipway.testing import Platform, descendants

SLEEP = "import time\n\n\ndef apply(input):\n    time.sleep(0.005)\n    return input\n"
SCALING = "min_replicas = 1\nmax_replicas = 8\nidle_seconds = 5"
_IDLE_SECONDS = 12  # between bursts


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    bursts, seconds = (2, 10) if options.quick else (3, 30)
    with tempfile.TemporaryDirectory() as directory, Platform(Path(directory) / "data") as platform:
        key = platform.account("bench")
        platform.deploy("bench", "sleep", key, SLEEP, scaling=SCALING)
        platform.publish("bench", "sleep", key)
        url = f"{platform.url}/v1/algo/bench/sleep"
        for number in range(1, bursts + 1):
            burst(report, platform, url, key, f"burst_{number}", seconds)
            time.sleep(_IDLE_SECONDS)


def burst(report: Report, platform: Platform, url: str, key: str, name: str, seconds: float) -> None:
    """One step up."""
    calm = OpenLoop(url, key, 1)
    time.sleep(3)
    calm.stop()
    before = _replicas(platform)
    load = OpenLoop(url, key, 1000)
    time.sleep(seconds)
    seen = load.stop()
    report.add(Measure(name=f"{name}_p50", value=seen.p50_ms, unit="ms"))
    report.add(Measure(name=f"{name}_p99", value=seen.p99_ms, unit="ms", target="<= 20", met=seen.p99_ms <= 20))
    report.add(Measure(name=f"{name}_p999", value=seen.p999_ms, unit="ms"))
    report.add(Measure(name=f"{name}_worst", value=seen.worst_ms, unit="ms"))
    report.add(Measure(name=f"{name}_wrong", value=seen.wrong, unit="calls", target="0", met=seen.wrong == 0))
    report.add(Measure(name=f"{name}_good", value=seen.good, unit="calls"))
    report.add(Measure(name=f"{name}_replicas_before", value=before, unit=""))
    report.add(Measure(name=f"{name}_replicas_after", value=_replicas(platform), unit=""))


def _replicas(platform: Platform) -> int:
    names = (Path(f"/proc/{pid}/comm") for pid in descendants(platform.pid))
    return sum(name.read_text().startswith("bench/sleep") for name in names if name.exists())


if __name__ == "__main__":
    main()
