"""Open-loop load: every call is due at a moment of its own, and its latency counts from then.

`OpenLoop` runs this module as a process of its own until it is stopped. A caller that waited for replies would slow
down together with what it measures.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

import uvloop

from benchmarks.harness import percentile

_PATIENCE_SECONDS = 30.0  # for replies that are missing when it is stopped
_SHOWN = 3  # wrong replies, on standard error
_REQUEST_ID = b'"request_id":"'


class Target(NamedTuple):
    """What is called, and what a right reply holds."""

    path: str
    body: str = "[1,2,3]"
    expected: str = '"result":[1,2,3]'


class Seen(NamedTuple):
    """One call."""

    due: float  # seconds of the monotonic clock, which compares between processes
    seconds: float  # from then to its reply
    right: bool
    request_id: str


@dataclass(frozen=True)
class Calls:
    """What one run saw. Only right replies have a latency that counts."""

    all: list[Seen]

    @property
    def wrong(self) -> int:
        """Calls that had no reply, or a wrong one."""
        return sum(not call.right for call in self.all)

    @property
    def good(self) -> int:
        """Calls that were answered right."""
        return len(self.all) - self.wrong

    def ms(self, share: float) -> float:
        """The latency that this share of the right calls does not exceed, in milliseconds; 1.0: the worst."""
        return percentile([call.seconds for call in self.all if call.right], share) * 1e3


class OpenLoop:
    """Calls at a rate, from another process, from the moment this is made until it is stopped.

    `targets` are called one after the other, over and over.
    """

    def __init__(self, url: str, key: str, rate: int, targets: Sequence[Target], connections: int = 64) -> None:
        command = [sys.executable, "-m", "benchmarks.open_loop"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([url, key, rate, targets, connections]) + "\n")
        self._process.stdin.flush()

    def stop(self) -> Calls:
        """Let it end; what it saw, in the order in which the calls were due."""
        output, _ = self._process.communicate()  # closes its standard input, which it waits for
        return Calls(sorted(Seen(*call) for call in json.loads(output)))


class _Connection(asyncio.Protocol):
    """One call at a time."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._received = b""
        self.call: tuple[float, Target] | None = None
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
            self._received = b""
            self._pool.answered(self, head, body)

    def connection_lost(self, _error: Exception | None) -> None:
        self._pool.lost(self)


class _Pool:
    def __init__(self, host: str, key: str) -> None:
        self._head = f" HTTP/1.1\r\nHost: {host}\r\nAuthorization: Simple {key}\r\nContent-Type: application/json\r\n"
        self.free: list[_Connection] = []
        self.waiting: deque[tuple[float, Target]] = deque()  # calls that were due and found no free connection
        self.seen: list[Seen] = []

    def call(self, due: float, target: Target) -> None:
        if self.free:
            self._send(self.free.pop(), due, target)
        else:
            self.waiting.append((due, target))

    def answered(self, connection: _Connection, head: bytes, body: bytes) -> None:
        assert connection.call is not None
        (due, target), connection.call = connection.call, None
        right = head.startswith(b"HTTP/1.1 200") and target.expected.encode() in body
        if not right:
            self._show(target, body)
        request_id = body.rpartition(_REQUEST_ID)[2][:36].decode()
        self.seen.append(Seen(due, time.monotonic() - due, right, request_id))
        if self.waiting:
            self._send(connection, *self.waiting.popleft())
        else:
            self.free.append(connection)

    def lost(self, connection: _Connection) -> None:
        if connection in self.free:
            self.free.remove(connection)
        if connection.call is not None:
            self.seen.append(Seen(connection.call[0], time.monotonic() - connection.call[0], False, ""))

    def _send(self, connection: _Connection, due: float, target: Target) -> None:
        connection.call = due, target
        head = f"POST {target.path}{self._head}Content-Length: {len(target.body)}\r\n\r\n"
        connection.transport.write((head + target.body).encode())

    def _show(self, target: Target, body: bytes) -> None:
        if sum(not call.right for call in self.seen) < _SHOWN:
            print(f"{target.path}: {body[:500]!r}", file=sys.stderr)


async def _run(url: str, key: str, rate: int, targets: list[Target], connections: int) -> list[Seen]:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    pool = _Pool(parts.netloc, key)
    for _ in range(connections):
        _, connection = await loop.create_connection(
            lambda: _Connection(pool), str(parts.hostname), int(parts.port or 80)
        )
        pool.free.append(connection)
    stopping = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    called = await _call_until(stopping, pool, rate, targets)
    patience = time.monotonic() + _PATIENCE_SECONDS
    while len(pool.seen) < called and time.monotonic() < patience:
        await asyncio.sleep(0.01)
    missing = called - len(pool.seen)
    return pool.seen + [Seen(time.monotonic(), _PATIENCE_SECONDS, False, "")] * missing


async def _call_until(stopping: asyncio.Future[str], pool: _Pool, rate: int, targets: list[Target]) -> int:
    began, number = time.monotonic(), 0
    for target in itertools.cycle(targets):
        due = began + number / rate
        if due > time.monotonic():
            await asyncio.sleep(due - time.monotonic())
        if stopping.done():
            break
        pool.call(due, target)
        number += 1
    return number


def _main() -> None:
    url, key, rate, targets, connections = json.loads(sys.stdin.readline())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        run = _run(url, key, rate, [Target(*target) for target in targets], connections)
        print(json.dumps(runner.run(run)))


if __name__ == "__main__":
    _main()
