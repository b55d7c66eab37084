"""What a call costs: echo on Slipway beside its peers and the ceiling, in one run, turn by turn.

Slipway checks the key, decides, and has the call's record on disk before it replies; the peers do none of that.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness import Measure, Report, arguments, at_least, at_most
from benchmarks.machine import cpu_seconds, fdatasync_ms
from benchmarks.side_by_side import ROW, report_loads, start_peers, take_turns
from benchmarks.wrk import Caller
from slipway.testing import Platform

ECHO = "def apply(input):\n    return input\n"
_CPU_US = 35.0  # of the gateway, a call
_RATE = 20_000
_TIMES_FASTAPI = 5
_LATENCY_MS = 0.3  # at one connection, beside one fdatasync


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    rounds, seconds, crowd = (2, 2, 10) if options.quick else (3, 8, 60)
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"
        platform = stack.enter_context(Platform(data))
        key = platform.account("bench")
        platform.deploy("bench", "echo", key, ECHO, scaling="min_replicas = 1")
        platform.publish("bench", "echo", key)
        slipway = Caller(url=f"{platform.url}/v1/algo/bench/echo", body=ROW, expected=f'"result":{ROW}', key=key)
        servers = {"slipway": slipway, **start_peers(stack, "echo")}
        take_turns(servers, 8, 1, 1)  # warm-up
        echo(report, servers, rounds, seconds)
        gateway(report, platform, slipway, seconds)
        single(report, servers, data, rounds, seconds)
        many(report, servers, crowd)


def echo(report: Report, servers: dict[str, Caller], rounds: int, seconds: int) -> None:
    """32 connections: rates, and how many times FastAPI's."""
    rates = report_loads(report, "echo_32_connections", take_turns(servers, 32, rounds, seconds), _RATE)
    if "fastapi" in rates:
        ratio = rates["slipway"] / rates["fastapi"]
        report.add(at_least("echo_32_connections_vs_fastapi", ratio, "times", _TIMES_FASTAPI))


def gateway(report: Report, platform: Platform, slipway: Caller, seconds: int) -> None:
    """The gateway's own processor time a call."""
    (pid,) = platform.processes()["gateway"]
    before = cpu_seconds(pid)
    load = slipway.run(32, seconds)
    us = (cpu_seconds(pid) - before) / (load.rate * seconds) * 1e6
    report.add(at_most("gateway_cpu", us, "us/call", _CPU_US))


def single(report: Report, servers: dict[str, Caller], data: Path, rounds: int, seconds: int) -> None:
    """One connection: latency, beside the disk's own."""
    disk = fdatasync_ms(data)
    report.add(Measure(name="one_fdatasync_p50", value=disk, unit="ms", peer="disk"))
    for name, loads in take_turns(servers, 1, rounds, seconds).items():
        p50 = statistics.median(load.p50_ms for load in loads)
        p99 = statistics.median(load.p99_ms for load in loads)
        if name == "slipway":
            report.add(at_most("echo_1_connection_p50", p50, "ms", round(_LATENCY_MS + disk, 3)))
            report.add(at_most("echo_1_connection_p99", p99, "ms", 2))
        else:
            report.add(Measure(name="echo_1_connection_p50", value=p50, unit="ms", peer=name))
            report.add(Measure(name="echo_1_connection_p99", value=p99, unit="ms", peer=name))


def many(report: Report, servers: dict[str, Caller], seconds: int) -> None:
    """256 connections for a while: no error, a bounded tail. The peers' turns are shorter."""
    for name, caller in servers.items():
        load = caller.run(256, seconds if name == "slipway" else min(seconds, 5))
        report.add(Measure(name="echo_256_connections", value=load.rate, unit="calls/s", peer=name))
        if name == "slipway":
            report.add(at_most("echo_256_connections_p99", load.p99_ms, "ms", 30))
            report.add(at_most("echo_256_connections_wrong", load.wrong, "replies", 0))
        else:
            report.add(Measure(name="echo_256_connections_p99", value=load.p99_ms, unit="ms", peer=name))
            report.add(Measure(name="echo_256_connections_wrong", value=load.wrong, unit="replies", peer=name))


if __name__ == "__main__":
    main()
