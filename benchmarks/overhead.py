"""What a call costs: Slipway beside FastAPI and the ceiling, in one run, turn by turn.

Slipway checks the key, decides, and has the call's record on disk before it replies; FastAPI does none of that.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness import Load, Measure, Report, arguments, cpu_seconds, fdatasync_ms, peer, wrk
from slipway.testing import Platform

BODY = "[5.1,3.5,1.4,0.2]"
KEY = "simOverheadBenchmarkKey00000"
ECHO = "def apply(input):\n    return input\n"

Run = Callable[[int, int], Load]  # connections, seconds


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    rounds, seconds = (2, 3) if options.quick else (3, 8)
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"
        platform = stack.enter_context(Platform(data))
        servers = _servers(stack, platform)
        for run in servers.values():
            run(8, 1)  # warm-up
        echo(report, servers, platform, rounds, seconds)
        single(report, servers, data, rounds, seconds)


def _servers(stack: ExitStack, platform: Platform) -> dict[str, Run]:
    key = platform.account("bench")
    platform.deploy("bench", "echo", key, ECHO)
    platform.publish("bench", "echo", key)
    fastapi = stack.enter_context(peer("fastapi_echo.py"))
    ceiling = stack.enter_context(peer("ceiling_gateway.py", "none", KEY))
    strict = stack.enter_context(peer("ceiling_gateway.py", "strict", KEY))
    return {
        "slipway": _caller(f"{platform.url}/v1/algo/bench/echo", key),
        "fastapi": _caller(f"{fastapi}/echo", key),
        "ceiling": _caller(f"{ceiling}/echo", KEY),
        "ceiling_strict": _caller(f"{strict}/echo", KEY),
    }


def _caller(url: str, key: str) -> Run:
    def run(connections: int, seconds: int) -> Load:
        expected = f'"result":{BODY}'
        return wrk(url, key=key, body=BODY, expected=expected, connections=connections, seconds=seconds)

    return run


def echo(report: Report, servers: dict[str, Run], platform: Platform, rounds: int, seconds: int) -> None:
    """32 connections: rates, and the gateway's own processor time a call."""
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    gateway_us = []
    for _ in range(rounds):
        for name, run in servers.items():
            before = _gateway_cpu(platform)
            load = run(32, seconds)
            loads[name].append(load)
            if name == "slipway":
                gateway_us.append((_gateway_cpu(platform) - before) / (load.rate * seconds) * 1e6)
    rates = {name: statistics.median(load.rate for load in seen) for name, seen in loads.items()}
    for name, rate in rates.items():
        target, met = (">= 10000", rate >= 10_000) if name == "slipway" else ("", None)
        report.add(Measure(name="echo_32_connections", value=rate, unit="calls/s", target=target, met=met, peer=name))
        p99 = statistics.median(load.p99_ms for load in loads[name])
        report.add(Measure(name="echo_32_connections_p99", value=p99, unit="ms", peer=name))
        wrong = sum(load.wrong for load in loads[name])
        report.add(Measure(name="echo_32_connections_wrong", value=wrong, unit="replies", met=wrong == 0, peer=name))
    ratio = rates["slipway"] / rates["fastapi"]
    report.add(Measure(name="echo_32_connections_vs_fastapi", value=ratio, unit="times"))
    report.add(Measure(name="gateway_cpu", value=statistics.median(gateway_us), unit="us/call"))


def single(report: Report, servers: dict[str, Run], data: Path, rounds: int, seconds: int) -> None:
    """One connection: latency, beside the disk's own."""
    for name, run in servers.items():
        loads = [run(1, seconds) for _ in range(rounds)]
        p50 = statistics.median(load.p50_ms for load in loads)
        p99 = statistics.median(load.p99_ms for load in loads)
        report.add(Measure(name="echo_1_connection_p50", value=p50, unit="ms", peer=name))
        report.add(Measure(name="echo_1_connection_p99", value=p99, unit="ms", peer=name))
    report.add(Measure(name="one_fdatasync_p50", value=fdatasync_ms(data), unit="ms", peer="disk"))


def _gateway_cpu(platform: Platform) -> float:
    return sum(cpu_seconds(pid) for pid in platform.processes()["gateway"])


if __name__ == "__main__":
    main()
