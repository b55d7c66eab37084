"""From `git push` to an answer, the environment unchanged: how long, and where the time goes."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Measure, Report, arguments
from slipway.testing import Platform

SOURCE = "def apply(input):\n    return {number}\n"
MANIFEST = '[algorithm]\nname = "model"\n[release]\non_push = "patch"\n'


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    with tempfile.TemporaryDirectory() as directory, Platform(Path(directory) / "data") as platform:
        key = platform.account("bench")
        platform.algorithm("bench", "model", key)
        platform.push("bench", "model", key, {"src/model.py": SOURCE.format(number=-1), "slipway.toml": MANIFEST})
        by_hash, newest, stages = [], [], []
        for number in range(3 if options.quick else 10):
            started = time.perf_counter()
            commit, log = platform.push("bench", "model", key, {"src/model.py": SOURCE.format(number=number)})
            _answers(platform, key, f"/{commit}", number)
            by_hash.append(time.perf_counter() - started)
            _answers(platform, key, "", number)
            newest.append(time.perf_counter() - started)
            stages.append(_built_in(log))
        for name, seen in (("push_to_answer_by_hash", by_hash), ("push_to_answer_as_newest", newest)):
            report.add(Measure(name=name, value=max(seen), unit="s", target="<= 5 (worst)", met=max(seen) <= 5))
        report.add(Measure(name="build_itself", value=statistics.median(stages), unit="s"))


def _answers(platform: Platform, key: str, selector: str, number: int) -> None:
    headers = {"Content-Type": "application/json"}
    target = f"/v1/algo/bench/model{selector}"
    result = platform.request("POST", target, key, content="0", headers=headers).json()["result"]
    if result != number:
        raise SystemExit(f"{target} answered {result}, not {number}")


def _built_in(log: str) -> float:
    """The build's own account of its time, from its last line."""
    found = re.search(r"built \w+ in ([\d.]+) s", log)
    if found is None:
        raise SystemExit(f"the build log does not say where the time went:\n{log}")
    return float(found.group(1))


if __name__ == "__main__":
    main()
