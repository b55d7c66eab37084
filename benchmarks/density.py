"""5,000 algorithms with 50,000 versions of 200 owners in 20 environments on one machine, 50 calls a second.

Half of the time versions are called as Zipf's law (exponent 1.1) has it, half of it all alike. A version without a
call for 60 s has no worker. The store and the versions' directories are seeded; every version loads a model.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import machine, models
from benchmarks.harness import Measure, Report, arguments, at_most
from benchmarks.misses import Call, Watch, calls_on_record
from benchmarks.open_loop import Calls, OpenLoop, Target
from benchmarks.seeding import KEY, Scale, seed
from slipway.testing import Platform, descendants
from slipway.workers.memory import available_bytes

_WORKERS_BYTES = 15 * 2**30  # of the 16 GiB that the platform may take
_RATE = 50
_ZIPF = 1.1
_CONNECTIONS = 512
_MEMORY_GIB = 16
_LOOK_SECONDS = 1.0
_LIMITS_MS = {"warm": 10, "cold": 150}  # of the 99th percentile


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    scale, seconds = Scale(algorithms=5000, owners=200, environments=20), 300
    if options.quick:
        scale, seconds = Scale(algorithms=500, owners=20, environments=4), 30
    with tempfile.TemporaryDirectory() as directory:
        run(report, Path(directory) / "data", scale, seconds)


def run(report: Report, data: Path, scale: Scale, seconds: float, **settings: object) -> None:
    """Seed, start with these settings, call."""
    with Platform(data, **settings) as platform:
        key = models.owner(platform, "bench")
        models.deploy(platform, "bench", "template", key, 0, "")
    started = time.monotonic()
    seeded = asyncio.run(seed(data, scale, "bench/template"))
    report.add(Measure(name="seeding", value=time.monotonic() - started, unit="s"))
    report.add(Measure(name="algorithms", value=scale.algorithms, unit=""))
    report.add(Measure(name="versions", value=len(seeded.targets), unit=""))
    memory, started = _Memory(), time.monotonic()
    with Platform(data, host_memory_bytes=_WORKERS_BYTES, **settings) as platform:
        report.add(at_most("up_to_ready", time.monotonic() - started, "s", 10))
        watch, began = Watch(platform, seeded.environments), time.time()
        for name, targets in drawn(seeded.targets, int(_RATE * seconds)).items():
            calls = phase(report, platform, name, targets, watch)
            latencies(report, name, calls, calls_on_record(platform, began), watch)
    memory.end()
    report.add(Measure(name="memory_gone_of_the_machine", value=memory.gone_gib, unit="GiB"))


def drawn(targets: list[Target], number: int) -> dict[str, list[Target]]:
    """What is called, one after the other, in the two halves; alike in every run."""
    draw = random.Random(1)
    ranked = draw.sample(targets, len(targets))
    weights = list(itertools.accumulate(1 / rank**_ZIPF for rank in range(1, len(ranked) + 1)))
    return {"zipf": draw.choices(ranked, cum_weights=weights, k=number), "uniform": draw.choices(ranked, k=number)}


def phase(report: Report, platform: Platform, name: str, targets: list[Target], watch: Watch) -> Calls:
    """Call each of the targets once, at the rate; what the platform takes in the end."""
    load = OpenLoop(platform.url, KEY, _RATE, targets, _CONNECTIONS)
    until = time.monotonic() + len(targets) / _RATE
    while time.monotonic() < until:
        watch.look()
        time.sleep(_LOOK_SECONDS)
    calls = load.stop()
    processes = descendants(platform.pid)
    taken = machine.platform_mib(platform) / 1024
    report.add(Measure(name=f"{name}_calls", value=len(calls.all), unit="calls"))
    report.add(at_most(f"{name}_wrong", calls.wrong, "calls", 0))
    (gateway,) = platform.processes()["gateway"]
    report.add(at_most(f"{name}_gateway_memory", machine.proportional_mib([gateway]), "MiB", 400))
    report.add(at_most(f"{name}_memory", taken, "GiB", _MEMORY_GIB))
    report.add(Measure(name=f"{name}_processes", value=len(processes), unit=""))
    return calls


def latencies(report: Report, name: str, calls: Calls, recorded: dict[str, Call], watch: Watch) -> None:
    """Warm calls, cold ones that found their environment's zygote, and cold ones that did not: each apart."""
    missed = watch.missed(recorded)
    groups: dict[str, Calls] = {kind: Calls([]) for kind in ("warm", "cold", "zygote_miss")}
    for call in calls.all:
        if (known := recorded.get(call.request_id)) is not None:
            kind = "warm" if not known.cold else "zygote_miss" if call.request_id in missed else "cold"
            groups[kind].all.append(call)
    for kind, some in groups.items():
        report.add(Measure(name=f"{name}_{kind}_calls", value=len(some.all), unit="calls"))
        if some.good:
            report.add(Measure(name=f"{name}_{kind}_p50", value=some.ms(0.5), unit="ms"))
            p99 = Measure(name=f"{name}_{kind}_p99", value=some.ms(0.99), unit="ms")
            report.add(at_most(p99.name, p99.value, "ms", _LIMITS_MS[kind]) if kind in _LIMITS_MS else p99)


class _Memory(threading.Thread):
    """Watches what the machine has left, second by second. To add up the platform's processes keeps a core busy for
    seconds, and so is done at the end only."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._least = self._before = available_bytes()
        self._ended = threading.Event()
        self.start()

    @property
    def gone_gib(self) -> float:
        """What went of the machine's memory at most, page tables and this program included."""
        return (self._before - self._least) / 2**30

    def run(self) -> None:
        """Until it is ended."""
        while not self._ended.wait(_LOOK_SECONDS):
            self._least = min(self._least, available_bytes())

    def end(self) -> None:
        """Stop."""
        self._ended.set()
        self.join()


if __name__ == "__main__":
    main()
