"""A scikit-learn model, one row a call, 32 connections: Slipway with `apply_batch` beside peers, turn by turn.

Slipway checks the key and has each call on record before it replies; the peers do neither. Each peer runs from an
environment of its own below `.cache/peers`, made at the first run.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness import Load, Measure, Report, arguments, peer, peer_python, wrk
from slipway.testing import Platform

ROW = "[5.1,3.5,1.4,0.2]"
IRIS = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


def load():
    return {"model": LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True))}


def apply_batch(inputs, state):
    return state["model"].predict(inputs)
"""
_SCIKIT = ("scikit-learn", "numpy")

Run = Callable[[int, int], Load]  # connections, seconds


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    rounds, seconds = (2, 3) if options.quick else (3, 8)
    with ExitStack() as stack:
        servers = _servers(stack)
        for run in servers.values():
            run(8, 2)  # warm-up
        loads: dict[str, list[Load]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, run in servers.items():
                loads[name].append(run(32, seconds))
        single = {name: run(1, seconds) for name, run in servers.items()}
    rates = {name: statistics.median(load.rate for load in seen) for name, seen in loads.items()}
    for name, seen in loads.items():
        target, met = (">= 10000", rates[name] >= 10_000) if name == "slipway" else ("", None)
        report.add(Measure(name="predict_32", value=rates[name], unit="calls/s", target=target, met=met, peer=name))
        p99 = statistics.median(load.p99_ms for load in seen)
        report.add(Measure(name="predict_32_p99", value=p99, unit="ms", peer=name))
        wrong = sum(load.wrong for load in seen)
        report.add(Measure(name="predict_32_wrong", value=wrong, unit="replies", met=wrong == 0, peer=name))
        report.add(Measure(name="predict_1_p50", value=single[name].p50_ms, unit="ms", peer=name))
    ratio = rates["slipway"] / rates["litserve"]
    report.add(Measure(name="predict_32_vs_litserve", value=ratio, unit="times", target=">= 10", met=ratio >= 10))


def _servers(stack: ExitStack) -> dict[str, Run]:
    platform = stack.enter_context(Platform(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"))
    key = platform.account("bench")
    platform.deploy("bench", "iris", key, IRIS, requirements="scikit-learn\n", scaling="min_replicas = 1")
    platform.publish("bench", "iris", key)
    fastapi = peer_python("fastapi", "fastapi", "uvicorn[standard]", *_SCIKIT)
    litserve = peer_python("litserve", "litserve", *_SCIKIT)
    return {
        "slipway": _caller(f"{platform.url}/v1/algo/bench/iris", key),
        "fastapi": _caller(stack.enter_context(peer("fastapi_predict.py", python=fastapi)) + "/predict", key),
        "litserve": _caller(stack.enter_context(peer("litserve_predict.py", python=litserve)) + "/predict", key),
    }


def _caller(url: str, key: str) -> Run:
    def run(connections: int, seconds: int) -> Load:
        return wrk(url, key=key, body=ROW, expected='"result":0', connections=connections, seconds=seconds)

    return run


if __name__ == "__main__":
    main()
