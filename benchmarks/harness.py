"""What every benchmark shares: its options, and one line a measure."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure. `met` is None where the figure has no target of its own."""

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    peer: str = "slipway"


def at_most(name: str, value: float, unit: str, limit: float) -> Measure:
    """A figure that must not exceed `limit`."""
    return Measure(name=name, value=value, unit=unit, target=f"<= {limit:g}", met=value <= limit)


def at_least(name: str, value: float, unit: str, limit: float) -> Measure:
    """A figure that must reach `limit`."""
    return Measure(name=name, value=value, unit=unit, target=f">= {limit:g}", met=value >= limit)


class Report:
    """Prints measures as they come: JSON lines, or aligned text."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def add(self, measure: Measure) -> None:
        """Print one."""
        if self._as_json:
            print(json.dumps(asdict(measure)), flush=True)
            return
        verdict = {True: "met", False: "MISSED", None: ""}[measure.met]
        target = f"target {measure.target}" if measure.target else ""
        print(
            f"{measure.peer:16} {measure.name:40} {measure.value:>12,.3f} {measure.unit:8} {target:22} {verdict}",
            flush=True,
        )


def arguments(description: str) -> argparse.Namespace:
    """`--json` and `--quick`, the same for every benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON line a measure")
    parser.add_argument("--quick", action="store_true", help="a shorter run of the same")
    return parser.parse_args()


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that a `share` (0 to 1) of all values does not exceed; 0 of no values."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
