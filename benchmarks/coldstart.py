"""The first call from zero of a scikit-learn model: with its environment's zygote alive, and without.

Before every call the version has no worker. Latency is the caller's, from sending the request to its reply.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks import machine, models
from benchmarks.harness import Measure, Report, arguments, at_most, percentile
from slipway.testing import Platform

_VERSIONS = 5  # called in turn, so that one is idle for long enough while the others are called
_IMPORT = "import time; t = time.perf_counter(); import joblib, sklearn.linear_model; print(time.perf_counter() - t)"


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    samples, without = (50, 3) if options.quick else (200, 10)
    with tempfile.TemporaryDirectory() as directory, Platform(Path(directory) / "data") as platform:
        key = models.owner(platform, "bench")
        for number in range(_VERSIONS):
            models.deploy(platform, "bench", f"iris{number}", key, number, "idle_seconds = 1\nmax_replicas = 1")
        with httpx.Client(base_url=platform.url, headers={"Authorization": f"Simple {key}"}, timeout=60) as client:
            _call(platform, client, 0)  # its zygote has imported what it needs from here on
            alive = [_call(platform, client, number % _VERSIONS) for number in range(samples)]
            report.add(at_most("first_call_zygote_alive_p50", percentile(alive, 0.5), "ms", 30))
            report.add(at_most("first_call_zygote_alive_p99", percentile(alive, 0.99), "ms", 100))
            report.add(Measure(name="first_call_zygote_alive_worst", value=max(alive), unit="ms"))
            stopped = [_call_without_zygote(platform, client) for _ in range(without)]
        imported = _import_ms(platform)
        report.add(Measure(name="scikit_learn_import", value=imported, unit="ms"))
        report.add(at_most("first_call_zygote_stopped", statistics.median(stopped), "ms", round(1.5 * imported)))


def _call(platform: Platform, client: httpx.Client, number: int) -> float:
    """Call one that has no worker; its latency in milliseconds. Exits where the reply is wrong."""
    machine.wait(lambda: not machine.workers(platform, f"bench/iris{number}"))
    headers = {"Content-Type": "application/json"}
    started = time.perf_counter()
    reply = client.post(f"/v1/algo/bench/iris{number}", content=models.ROW, headers=headers)
    elapsed = (time.perf_counter() - started) * 1e3
    if reply.status_code != httpx.codes.OK or models.expected(number) not in reply.text:
        raise SystemExit(f"a wrong reply: {reply.text}")
    return elapsed


def _call_without_zygote(platform: Platform, client: httpx.Client) -> float:
    machine.wait(lambda: not any(machine.workers(platform, f"bench/iris{number}") for number in range(_VERSIONS)))
    for pid in machine.zygotes(*platform.processes()["host"]):
        os.kill(pid, signal.SIGKILL)
    machine.wait(lambda: not platform.request("GET", "/v1/status").json()["zygotes"])
    return _call(platform, client, 0)


def _import_ms(platform: Platform) -> float:
    """What the model needs, imported by the environment's interpreter from bytecode: the median of five."""
    (environment,) = (platform.data / "environments").glob("*/bin/python")
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [str(environment), "-c", _IMPORT]
    runs = [subprocess.run(command, env=quiet, capture_output=True, text=True, check=True) for _ in range(5)]
    return statistics.median(float(run.stdout) for run in runs) * 1e3


if __name__ == "__main__":
    main()
