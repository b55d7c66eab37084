"""What sandboxes cost: the same platform with them and without, turn by turn, and what policies cost.

`trusted`: environments that an administrator trusts, so that owners share a zygote; `untrusted`: each has its own.
Ratios are of what the platform without sandboxes (`none`) shows in the same run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx

from benchmarks import machine, models
from benchmarks.density import run as run_density
from benchmarks.harness import Measure, Report, arguments, at_most, percentile
from benchmarks.open_loop import OpenLoop, Target
from benchmarks.overhead import ECHO
from benchmarks.seeding import Scale
from benchmarks.side_by_side import ROW
from benchmarks.wrk import Caller
from slipway.access.decisions import Action, Authorizer, Resource
from slipway.access.principals import Principal
from slipway.testing import Platform
from slipway.types import Account

_TIMES, _OVERHEAD = 1.3, 1.05
_VERSIONS = 4
_ENVIRONMENTS = "/v1/algorithm-environments/edge/environments"
_SLEEP = "import time\n\n\ndef apply(input):\n    time.sleep(0.005)\n    return input\n"
_POLICIES, _QUESTIONS = 300, 2000
_CACHED_US, _UNCACHED_US = 2, 400


class _Side:
    """One platform, and what is called there."""

    def __init__(self, name: str, platform: Platform, trusted: bool) -> None:
        self.name, self.platform = name, platform
        self.key = models.owner(platform, "bench")
        for number in range(_VERSIONS):
            models.deploy(platform, "bench", f"iris{number}", self.key, number, "idle_seconds = 1\nmax_replicas = 1")
        platform.deploy("bench", "echo", self.key, ECHO, scaling="min_replicas = 1")
        platform.deploy(
            "bench", "sleep", self.key, _SLEEP, scaling="min_replicas = 1\nmax_replicas = 8\nidle_seconds = 3"
        )
        for algorithm in ("echo", "sleep"):
            platform.publish("bench", algorithm, self.key)
        if trusted:
            for interpreter in (platform.data / "environments").glob("*/bin/python"):
                platform.request(
                    "PUT",
                    f"/v1/algorithm-environments/edge/environments/{interpreter.parents[1].name}",
                    json={"trusted": True},
                )
        self.client = httpx.Client(base_url=platform.url, headers={"Authorization": f"Simple {self.key}"}, timeout=60)

    def first_call(self, number: int) -> float:
        """The latency, in milliseconds, of a call to a version that has no worker."""
        name = f"iris{number % _VERSIONS}"
        machine.wait(lambda: not machine.workers(self.platform, f"bench/{name}"))
        headers = {"Content-Type": "application/json"}
        started = time.perf_counter()
        reply = self.client.post(f"/v1/algo/bench/{name}", content=models.ROW, headers=headers)
        elapsed = (time.perf_counter() - started) * 1e3
        if reply.status_code != httpx.codes.OK:
            raise SystemExit(f"a wrong reply: {reply.text}")
        return elapsed

    def burst(self, seconds: float) -> float:
        """The 99th percentile, in milliseconds, of 1,000 calls a second in one step from one replica."""
        # One replica, and a template of the same name where there is one.
        machine.wait(lambda: len(machine.workers(self.platform, "bench/sleep")) <= 2)
        load = OpenLoop(self.platform.url, self.key, 1000, [Target("/v1/algo/bench/sleep")])
        time.sleep(seconds)
        seen = load.stop()
        if seen.wrong:
            raise SystemExit(f"{seen.wrong} wrong replies of {self.name}")
        return seen.ms(0.99)

    def rate(self, seconds: int) -> float:
        """Echo calls a second."""
        url = f"{self.platform.url}/v1/algo/bench/echo"
        return Caller(url=url, body=ROW, expected=f'"result":{ROW}', key=self.key).run(32, seconds).rate


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    decisions(report)
    calls, bursts, seconds = (25, 2, 5) if options.quick else (100, 5, 10)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides = [
            _Side("none", stack.enter_context(Platform(root / "none", sandbox="none")), True),
            _Side("trusted", stack.enter_context(Platform(root / "trusted")), True),
            _Side("untrusted", stack.enter_context(Platform(root / "untrusted")), False),
        ]
        first_calls(report, sides, calls)
        rates(report, sides, bursts, 3)
        bursts_of(report, sides, bursts, seconds)
    density(report, options.quick)


def decisions(report: Report) -> None:
    """What a decision costs: remembered, and asked of Cedar among an organization's own policies."""
    authorizer = Authorizer()
    ann = Principal(Account(id="1", name="ann", roles=frozenset(["acme/caller"]), created_at=0.0), "key")
    rules = [
        f'@id("rule-{number}") forbid (principal == Account::"nobody-{number}", action == Action::"call", resource);'
        for number in range(_POLICIES)
    ]
    authorizer.book.put("acme", "\n".join(rules))
    things = [Resource("algorithm", "acme", name=f"model-{number}") for number in range(_QUESTIONS)]
    for name, limit in (("decision_uncached", _UNCACHED_US), ("decision_cached", _CACHED_US)):
        times = []
        for thing in things:
            started = time.perf_counter_ns()
            authorizer.authorize(ann, Action.CALL, thing)
            times.append((time.perf_counter_ns() - started) / 1e3)
        report.add(at_most(name, statistics.median(times), "us", limit))


def first_calls(report: Report, sides: list[_Side], calls: int) -> None:
    """From zero, the zygote alive."""
    seen: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(_VERSIONS * 2 + calls):
        for side in sides:
            elapsed = side.first_call(number)
            if number >= _VERSIONS * 2:  # the zygotes have what they need by then
                seen[side.name].append(elapsed)
    compare(report, "first_call_p50", {name: percentile(times, 0.5) for name, times in seen.items()}, "ms", _TIMES)
    for name, times in seen.items():
        report.add(Measure(name="first_call_p99", value=percentile(times, 0.99), unit="ms", peer=name))


def rates(report: Report, sides: list[_Side], rounds: int, seconds: int) -> None:
    """Echo calls at 32 connections; the ratio is of the time a call takes."""
    seen: dict[str, list[float]] = {side.name: [] for side in sides}
    for _ in range(rounds + 1):
        for side in sides:
            seen[side.name].append(side.rate(seconds))
    times = {name: 1e6 / statistics.median(rates[1:]) for name, rates in seen.items()}
    compare(report, "echo_time_a_call", times, "us", _OVERHEAD)


def bursts_of(report: Report, sides: list[_Side], bursts: int, seconds: float) -> None:
    """One step up to 1,000 calls a second; the middle of the bursts."""
    seen: dict[str, list[float]] = {side.name: [] for side in sides}
    for _ in range(bursts):
        for side in sides:
            seen[side.name].append(side.burst(seconds))
    compare(report, "burst_p99", {name: statistics.median(p99s) for name, p99s in seen.items()}, "ms", _TIMES)


def density(report: Report, quick: bool) -> None:
    """Thousands of versions, their environments trusted: with sandboxes, and without."""
    scale, seconds = (Scale(algorithms=500, owners=20, environments=4), 25)
    if not quick:
        scale, seconds = Scale(algorithms=5000, owners=200, environments=20), 120
    seen: dict[str, dict[str, float]] = {}
    for name in ("none", "namespaces"):
        kept = _Kept()
        with tempfile.TemporaryDirectory() as directory:
            run_density(kept, Path(directory) / "data", scale, seconds, sandbox=name)
        seen[name] = kept.values
    for figure in ("zipf_warm_p99", "zipf_cold_p50", "zipf_cold_p99", "uniform_cold_p50", "uniform_cold_p99"):
        compare(
            report, f"density_{figure}", {name: values.get(figure, 0.0) for name, values in seen.items()}, "ms", _TIMES
        )
    for figure in ("zipf_wrong", "uniform_wrong"):
        report.add(at_most(f"density_{figure}", seen["namespaces"][figure], "calls", 0))


class _Kept(Report):
    """Keeps figures and prints none."""

    def __init__(self) -> None:
        super().__init__(False)
        self.values: dict[str, float] = {}

    def add(self, measure: Measure) -> None:
        """Keep one."""
        self.values[measure.name] = measure.value


def compare(report: Report, name: str, values: dict[str, float], unit: str, times: float) -> None:
    """The figure of each side, and its ratio to that without sandboxes; of untrusted environments without a target."""
    for side, value in values.items():
        report.add(Measure(name=name, value=value, unit=unit, peer=side))
    for side, value in values.items():
        ratio = value / values["none"] if values["none"] else 0.0
        if side == "untrusted":
            report.add(Measure(name=f"{name}_ratio", value=ratio, unit="times", peer=side))
        elif side != "none":
            report.add(replace(at_most(f"{name}_ratio", ratio, "times", times), peer=side))


if __name__ == "__main__":
    main()
