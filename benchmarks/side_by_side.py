"""Slipway beside its peers and the ceiling: every server serves the same two functions and is called turn by turn.

Each peer runs from an environment of its own below `.cache/peers`, made at the first run. One that cannot be installed
or started is named on standard error and left out.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from benchmarks.harness import Measure, Report, at_least
from benchmarks.wrk import Caller, Load
from slipway.testing import free_port

Operation = Literal["echo", "predict"]
ROW = "[5.1,3.5,1.4,0.2]"
KEY = "simSideBySideBenchmarkKey000"  # of the ceiling, which checks one
_HERE = Path(__file__).parent
_ENVIRONMENTS = _HERE.parent / ".cache" / "peers"
_START_SECONDS = 90.0
_SCIKIT = ("scikit-learn", "numpy")
_V2 = '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[5.1,3.5,1.4,0.2]}]}'


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One server. Its script takes a port, an operation and `options`; it may use the two ports after its own too."""

    script: str
    options: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()  # none: this environment's own
    interpreters: tuple[str, ...] = (sys.executable,)  # to make the environment from; the first that is there
    path: str = "/{operation}"
    body: str = ROW
    expected: str = '"result":{result}'

    def caller(self, port: int, operation: Operation) -> Caller:
        """How the operation is called there."""
        result = ROW if operation == "echo" else "0"
        return Caller(
            url=f"http://127.0.0.1:{port}{self.path.format(operation=operation)}",
            body=self.body,
            expected=self.expected.format(result=result, spaced=result.replace(",", ", "), list=result.strip("[]")),
            key=KEY,
        )


_V2_PATH = "/v2/models/{operation}/infer"
_V2_EXPECTED = '"data":[{list}]'
PEERS = {
    "fastapi": Peer(script="fastapi_server.py", packages=("fastapi", "uvicorn[standard]", *_SCIKIT)),
    "litserve": Peer(script="litserve_server.py", packages=("litserve", *_SCIKIT), path="/predict"),
    "mlserver": Peer(
        script="mlserver_server.py",
        packages=("mlserver", "uvloop<0.22", *_SCIKIT),  # 1.7.1 breaks on later ones
        path=_V2_PATH,
        body=_V2,
        expected=_V2_EXPECTED,
    ),
    "bentoml": Peer(
        script="bentoml_server.py",
        packages=("bentoml", *_SCIKIT),
        body=f'{{"value":{ROW}}}',
        expected='"result": {spaced}',
    ),
    "pytriton": Peer(
        script="pytriton_server.py",
        packages=("nvidia-pytriton", *_SCIKIT),
        interpreters=("/usr/bin/python3.11", sys.executable),  # its server is linked to a Python as Debian builds it
        path=_V2_PATH,
        body=_V2,
        expected=_V2_EXPECTED,
    ),
    "ceiling": Peer(script="ceiling_gateway.py", options=("none", KEY)),
    "ceiling_strict": Peer(script="ceiling_gateway.py", options=("strict", KEY)),
}


def start_peers(stack: ExitStack, operation: Operation) -> dict[str, Caller]:
    """Start every peer that can be, to run until the stack is closed; how to call each."""
    callers = {}
    for name, peer in PEERS.items():
        try:
            python = _python(name, peer)
            callers[name] = stack.enter_context(_running(peer, python, operation))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return callers


def take_turns(servers: dict[str, Caller], connections: int, rounds: int, seconds: int) -> dict[str, list[Load]]:
    """Call each server in turn, `rounds` times."""
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, caller in servers.items():
            loads[name].append(caller.run(connections, seconds))
    return loads


def report_loads(report: Report, name: str, loads: dict[str, list[Load]], target: float) -> dict[str, float]:
    """Medians of each server's turns; `target` is Slipway's rate. Returns the rates."""
    rates = {peer: statistics.median(load.rate for load in seen) for peer, seen in loads.items()}
    for peer, rate in rates.items():
        aimed = at_least(name, rate, "calls/s", target) if peer == "slipway" else None
        report.add(aimed or Measure(name=name, value=rate, unit="calls/s", peer=peer))
        p99 = statistics.median(load.p99_ms for load in loads[peer])
        report.add(Measure(name=f"{name}_p99", value=p99, unit="ms", peer=peer))
        wrong = sum(load.wrong for load in loads[peer])
        report.add(Measure(name=f"{name}_wrong", value=wrong, unit="replies", met=wrong == 0, peer=peer))
    return rates


def _python(name: str, peer: Peer) -> str:
    """The interpreter of the peer's environment."""
    if not peer.packages:
        return sys.executable
    python = _ENVIRONMENTS / name / "bin" / "python"
    if not (python.parents[1] / "complete").exists():
        base = next(found for found in peer.interpreters if Path(found).exists())
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", "-p", base, str(python.parents[1])], check=True)
        subprocess.run([*uv, "pip", "install", "-q", "-p", str(python), *peer.packages], check=True)
        (python.parents[1] / "complete").touch()
    return str(python)


@contextlib.contextmanager
def _running(peer: Peer, python: str, operation: Operation) -> Iterator[Caller]:
    """The peer's processes, from its first right reply on."""
    port = free_port()
    command = [python, str(_HERE / "peers" / peer.script), str(port), operation, *peer.options]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(python).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        command, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        caller = peer.caller(port, operation)
        _wait_for_reply(caller, process)
        yield caller
    finally:
        _end(process)


def _wait_for_reply(caller: Caller, process: subprocess.Popen[bytes]) -> None:
    deadline, last = time.monotonic() + _START_SECONDS, "it never listened"
    headers = {"Authorization": f"Simple {caller.key}", "Content-Type": "application/json"}
    while time.monotonic() < deadline and process.poll() is None:
        try:
            reply = httpx.post(caller.url, content=caller.body, headers=headers, timeout=10)
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        if reply.status_code == httpx.codes.OK and caller.expected in reply.text:
            return
        last = f"it answered {reply.status_code} {reply.text[:200]}"
        time.sleep(0.05)
    raise RuntimeError(f"{last}{'' if process.poll() is None else f'; it ended with {process.poll()}'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process, and whatever is left of its session."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
