"""Closed-loop load: each connection calls again as soon as it is answered."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("check.lua")


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one run saw. Only right replies count."""

    rate: float  # right replies a second
    wrong: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Something to call. A reply is right when its status is 200 and its body holds `expected`."""

    url: str
    body: str
    expected: str
    key: str = ""

    def run(self, connections: int, seconds: int) -> Load:
        """Call from one thread of wrk for so long."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(_SCRIPT), self.url]
        environment = {**os.environ, "BODY": self.body, "EXPECTED": self.expected, "KEY": self.key}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        line = next(line for line in done.stdout.splitlines() if line.startswith("JSON "))
        seen = json.loads(line[5:])
        return Load(
            rate=seen["right"] / seen["seconds"],
            wrong=seen["wrong"] + seen["socket_errors"],
            p50_ms=seen["p50_ms"],
            p99_ms=seen["p99_ms"],
        )
