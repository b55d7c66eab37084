"""A scikit-learn model, one row a call: Slipway with `apply_batch` beside its peers and the ceiling, turn by turn.

Slipway checks the key and has each call on record before it replies; the peers do neither. The ceiling predicts one
row at a time in one worker.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness import Measure, Report, arguments, at_least
from benchmarks.side_by_side import ROW, report_loads, start_peers, take_turns
from benchmarks.wrk import Caller
from slipway.testing import Platform

IRIS = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


def load():
    return {"model": LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True))}


def apply_batch(inputs, state):
    return state["model"].predict(inputs)
"""
_RATE = 10_000
_TIMES_LITSERVE = 10


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    rounds, seconds = (2, 2) if options.quick else (3, 8)
    with ExitStack() as stack:
        platform = stack.enter_context(Platform(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"))
        key = platform.account("bench")
        platform.deploy("bench", "iris", key, IRIS, requirements="scikit-learn\n", scaling="min_replicas = 1")
        platform.publish("bench", "iris", key)
        slipway = Caller(url=f"{platform.url}/v1/algo/bench/iris", body=ROW, expected='"result":0', key=key)
        servers = {"slipway": slipway, **start_peers(stack, "predict")}
        take_turns(servers, 8, 1, 2)  # warm-up
        rates = report_loads(report, "predict_32_connections", take_turns(servers, 32, rounds, seconds), _RATE)
        if "litserve" in rates:
            ratio = rates["slipway"] / rates["litserve"]
            report.add(at_least("predict_32_connections_vs_litserve", ratio, "times", _TIMES_LITSERVE))
        for name, loads in take_turns(servers, 1, 1, seconds).items():
            report.add(Measure(name="predict_1_connection_p50", value=loads[0].p50_ms, unit="ms", peer=name))
            report.add(Measure(name="predict_1_connection_p99", value=loads[0].p99_ms, unit="ms", peer=name))


if __name__ == "__main__":
    main()
