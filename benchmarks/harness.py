"""What the benchmarks share: load by wrk, peers as processes, one line a measure."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from slipway.testing import free_port

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure. `met` is None where the figure has no target of its own."""

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    peer: str = "slipway"


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
            f"{measure.peer:16} {measure.name:34} {measure.value:>12,.3f} {measure.unit:8} {target:22} {verdict}",
            flush=True,
        )


def arguments(description: str) -> argparse.Namespace:
    """`--json` and `--quick`, the same for every benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON line a measure")
    parser.add_argument("--quick", action="store_true", help="a shorter run of the same")
    return parser.parse_args()


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one run of wrk saw. Only right replies count."""

    rate: float  # right replies a second
    wrong: int
    p50_ms: float
    p99_ms: float


def wrk(url: str, *, key: str, body: str, expected: str, connections: int, seconds: int) -> Load:
    """Closed-loop load from one thread; a reply is right when its status is 200 and its body holds `expected`."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(HERE / "check.lua"), url]
    environment = {**os.environ, "BODY": body, "EXPECTED": expected, "KEY": key}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("JSON "))
    seen = json.loads(line[5:])
    return Load(
        rate=seen["right"] / seen["seconds"],
        wrong=seen["wrong"] + seen["socket_errors"],
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
    )


def peer_python(name: str, *packages: str) -> Path:
    """The interpreter of a peer's own environment, with these packages; made where it is not there yet."""
    python = HERE.parent / ".cache" / "peers" / name / "bin" / "python"
    if not python.exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", "-p", sys.executable, str(python.parents[1])], check=True)
        subprocess.run([*uv, "pip", "install", "-q", "-p", str(python), *packages], check=True)
    return python


@contextmanager
def peer(script: str, *options: str, python: Path | None = None) -> Iterator[str]:
    """Start `peers/SCRIPT PORT OPTIONS…`; yields its address once it listens."""
    port = free_port()
    command = [str(python or sys.executable), str(HERE / "peers" / script), str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_listening(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=1)
        except httpx.ConnectError:
            time.sleep(0.05)
        except httpx.TransportError:
            return
        else:
            return
    raise RuntimeError("the peer did not start")


def fdatasync_ms(directory: Path, samples: int = 300) -> float:
    """Median time of appending 400 bytes to a preallocated file and `fdatasync`."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        os.posix_fallocate(file.fileno(), 0, 400 * samples)
        times = []
        for number in range(samples):
            started = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * 400, 400 * number)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
