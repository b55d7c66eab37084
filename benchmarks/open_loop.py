"""Open-loop load: every call is due at a moment of its own, and its latency counts from then.

`OpenLoop` runs this module as a process of its own until it is stopped. A caller that waited for replies would slow
down together with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import uvloop

_BODY = b"[1,2,3]"
_EXPECTED = b'"result":[1,2,3]'
_CONNECTIONS = 64
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """What one run saw; times in milliseconds from the moment each call was due. Only right replies count as good."""

    good: int
    wrong: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    worst_ms: float


class OpenLoop:
    """Calls at a rate, from another process, from the moment this is made until it is stopped."""

    def __init__(self, url: str, key: str, rate: int) -> None:
        command = [sys.executable, "-m", "benchmarks.open_loop", url, key, str(rate)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self) -> Latencies:
        """Let it end; what it saw."""
        output, _ = self._process.communicate()  # closes its standard input, which it waits for
        return Latencies(**json.loads(output))


class _Connection(asyncio.Protocol):
    """One call at a time; `answered` is told whether the reply was right."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._received = b""
        self.due = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) >= length:
            right = head.startswith(b"HTTP/1.1 200") and _EXPECTED in body
            self._received = b""
            self._pool.answered(self, right)

    def connection_lost(self, _error: Exception | None) -> None:
        self._pool.lost(self)


class _Pool:
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.free: list[_Connection] = []
        self.waiting: list[float] = []  # moments at which calls were due that found no free connection
        self.latencies: list[float] = []
        self.wrong = 0

    def call(self, due: float) -> None:
        if self.free:
            self._send(self.free.pop(), due)
        else:
            self.waiting.append(due)

    def answered(self, connection: _Connection, right: bool) -> None:
        self.latencies.append(time.monotonic() - connection.due)
        self.wrong += not right
        if self.waiting:
            self._send(connection, self.waiting.pop(0))
        else:
            self.free.append(connection)

    def lost(self, connection: _Connection) -> None:
        if connection in self.free:
            self.free.remove(connection)
        self.wrong += 1

    def _send(self, connection: _Connection, due: float) -> None:
        connection.due = due
        connection.transport.write(self.request)


async def _run(url: str, key: str, rate: int) -> Latencies:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Simple {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n"
    loop = asyncio.get_running_loop()
    pool = _Pool(head.encode() + _BODY)
    for _ in range(_CONNECTIONS):
        _, connection = await loop.create_connection(
            lambda: _Connection(pool), str(parts.hostname), int(parts.port or 80)
        )
        pool.free.append(connection)
    stopping = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    called = await _call_until(stopping, pool, rate)
    patience = time.monotonic() + _PATIENCE_SECONDS
    while len(pool.latencies) < called and time.monotonic() < patience:
        await asyncio.sleep(0.01)
    wrong = pool.wrong + called - len(pool.latencies)
    cuts = [cut * 1e3 for cut in statistics.quantiles(pool.latencies, n=1000)]
    worst = max(pool.latencies) * 1e3
    return Latencies(
        good=called - wrong, wrong=wrong, p50_ms=cuts[499], p99_ms=cuts[989], p999_ms=cuts[998], worst_ms=worst
    )


async def _call_until(stopping: asyncio.Future[str], pool: _Pool, rate: int) -> int:
    began, number = time.monotonic(), 0
    while not stopping.done():
        due = began + number / rate
        if due > time.monotonic():
            await asyncio.sleep(due - time.monotonic())
        pool.call(due)
        number += 1
    return number


if __name__ == "__main__":
    _url, _key, _rate = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(_run(_url, _key, int(_rate))))))
