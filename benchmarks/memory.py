"""What an idle platform takes, and what a warm scikit-learn worker takes beyond the zygote it was forked from."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import machine, models
from benchmarks.harness import Measure, Report, arguments, at_most
from slipway.testing import Platform

_WORKERS = 4
_CALLS = 100  # of each, so that it is warm
_SCALING = "max_replicas = 1\nidle_seconds = 600"


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    with tempfile.TemporaryDirectory() as directory, Platform(Path(directory) / "data") as platform:
        time.sleep(5 if options.quick else 30)
        report.add(at_most("idle_platform", machine.platform_mib(platform), "MiB", 250))
        report.add(Measure(name="idle_supervisor", value=machine.proportional_mib([platform.pid]), unit="MiB"))
        for name, pids in platform.processes().items():
            report.add(Measure(name=f"idle_{name}", value=machine.proportional_mib(pids), unit="MiB"))
        workers(report, platform)


def workers(report: Report, platform: Platform) -> None:
    """Some from one zygote: what each has for itself, and what all of it grows by with each."""
    key = models.owner(platform, "bench")
    for number in range(_WORKERS):
        models.deploy(platform, "bench", f"iris{number}", key, number, _SCALING)
    # Those that the builds have tried are kept for a minute.
    machine.wait(lambda: not any(machine.workers(platform, f"bench/iris{number}") for number in range(_WORKERS)))
    _warm(platform, key, 0)
    before = machine.platform_mib(platform)
    for number in range(1, _WORKERS):
        _warm(platform, key, number)
    growth = (machine.platform_mib(platform) - before) / (_WORKERS - 1)
    pids = [pid for number in range(_WORKERS) for pid in machine.workers(platform, f"bench/iris{number}")]
    own = statistics.median(machine.private_mib(pid) for pid in pids)
    report.add(at_most("warm_worker_beyond_its_zygote", own, "MiB", 8))
    report.add(Measure(name="platform_grows_by_each_further_worker", value=growth, unit="MiB"))
    zygotes = machine.zygotes(*platform.processes()["host"])
    report.add(Measure(name="zygote", value=machine.proportional_mib(zygotes), unit="MiB"))


def _warm(platform: Platform, key: str, number: int) -> None:
    for _ in range(_CALLS):
        reply = platform.request("POST", f"/v1/algo/bench/iris{number}", key, json=[5.1, 3.5, 1.4, 0.2])
        if models.expected(number) not in reply.text:
            raise SystemExit(f"a wrong reply: {reply.text}")


if __name__ == "__main__":
    main()
