"""The ceiling: the least a Python gateway with a key check and an isolated worker can cost. A yardstick, not a base.

With `strict` every reply waits until its row is committed to SQLite (group commit).
Usage: ceiling_gateway.py PORT echo|predict none|strict KEY
"""

from __future__ import annotations

import asyncio
import collections
import gc
import hashlib
import os
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LENGTH = struct.Struct("<I")
INSERT = "insert into calls values (?,?,?,?,?,?,?,?,?,?,?)"
DATA = Path(tempfile.mkdtemp())
STRICT = False
KEYS: set[bytes] = set()
workers: list[Worker] = []


class Journal(threading.Thread):
    """Commits all rows that wait, then lets their replies go."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self.loop, self.pending, self.wake, self.busy = loop, [], threading.Event(), False  # type: ignore[var-annotated]

    def add(self, row: tuple[Any, ...], call: Call, data: bytes) -> None:
        """Queue one row and the reply that waits for it."""
        self.pending.append((row, call, data))
        if not self.busy:
            self.busy = True
            self.wake.set()

    def run(self) -> None:
        """Write for ever."""
        database = sqlite3.connect(DATA / "journal.db", isolation_level=None)
        database.execute("pragma journal_mode=wal")
        database.execute("pragma synchronous=FULL")
        database.execute(
            "create table calls (id blob, ts real, caller text, algorithm text, version text, status int, us int,"
            " bytes_in int, bytes_out int, parent blob, result blob)"
        )
        while True:
            self.wake.wait()
            self.wake.clear()
            batch, self.pending = self.pending, []
            if not batch:
                self.busy = False
                continue
            database.execute("begin")
            database.executemany(INSERT, [row for row, _, _ in batch])
            database.execute("commit")
            self.loop.call_soon_threadsafe(self.release, batch)

    def release(self, batch: list[tuple[tuple[Any, ...], Call, bytes]]) -> None:
        """Send the replies of a committed batch."""
        for _, call, data in batch:
            call.send(data)
        if self.pending:
            self.wake.set()
        else:
            self.busy = False


journal: Journal


class Worker(asyncio.Protocol):
    """The gateway's side of the worker's socket."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The worker has connected."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer, self.waiting, self.out = b"", collections.deque(), []  # type: ignore[var-annotated]
        workers.append(self)

    def call(self, call: Call, body: bytes) -> None:
        """Send one request; all of one turn of the loop leave in one write."""
        self.waiting.append(call)
        if not self.out:
            asyncio.get_running_loop().call_soon(self.flush)
        self.out.append(LENGTH.pack(len(body)) + body)

    def flush(self) -> None:
        """Write what this turn has collected."""
        out, self.out = self.out, []
        self.transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        """Replies, in order."""
        buffer, position = self.buffer + data, 0
        while len(buffer) - position >= 4:
            (size,) = LENGTH.unpack_from(buffer, position)
            if len(buffer) - position - 4 < size:
                break
            self.waiting.popleft().reply(buffer[position + 4 : position + 4 + size])
            position += 4 + size
        self.buffer = buffer[position:]


class Event:
    """Stands for the event that uvicorn would set."""

    def set(self) -> None:
        """Nobody waits."""


class Call:
    """One request in flight."""

    __slots__ = ("body", "disconnected", "keep_alive", "message_event", "protocol", "response_complete", "started")

    def __init__(self, protocol: Protocol) -> None:
        self.protocol, self.body, self.started = protocol, b"", 0
        self.response_complete, self.keep_alive, self.disconnected, self.message_event = False, True, False, Event()

    def reply(self, result: bytes) -> None:
        """The worker has answered."""
        us = (time.perf_counter_ns() - self.started) // 1000
        body = b'{"result":%b,"metadata":{"content_type":"json","duration":%d.%06d}}' % (result, *divmod(us, 1_000_000))
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        if not STRICT:
            self.send(head + body)
            return
        row = (os.urandom(16), time.time(), "bench", "bench/echo", "1.0.0", 200, us, len(self.body), len(result), None)
        journal.add((*row, result), self, head + body)

    def send(self, data: bytes) -> None:
        """Answer the client."""
        self.response_complete = True
        if not self.protocol.transport.is_closing():
            self.protocol.transport.write(data)


class Protocol(HttpToolsProtocol):
    """Short-circuits every POST."""

    fast: Call | None = None
    credential: bytes | None = None

    def on_message_begin(self) -> None:
        """A new request."""
        self.url, self.headers, self.fast, self.credential = b"", [], None, None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the credential."""
        if name.lower() == b"authorization":
            self.credential = value

    def on_headers_complete(self) -> None:
        """Every request here is a call."""
        self.fast = self.cycle = Call(self)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Collect."""
        assert self.fast is not None
        self.fast.body += body

    def on_message_complete(self) -> None:
        """Check the key and hand the call over."""
        call = self.fast
        assert call is not None
        token = (self.credential or b"").removeprefix(b"Simple ")
        if hashlib.sha256(token).digest() not in KEYS:
            call.send(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
            return
        call.started = time.perf_counter_ns()
        workers[0].call(call, call.body)


async def application(_scope: Any, _receive: Any, _send: Any) -> None:  # noqa: ANN401
    """Never reached."""


async def main(port: int) -> None:
    """Serve until terminated."""
    global journal
    loop = asyncio.get_running_loop()
    path = str(DATA / "gateway.sock")
    server = await loop.create_unix_server(Worker, path)
    worker = subprocess.Popen([sys.executable, str(Path(__file__).with_name("ceiling_worker.py")), path, sys.argv[2]])
    journal = Journal(loop)
    if STRICT:
        journal.start()
    config = uvicorn.Config(
        application, host="127.0.0.1", port=port, http=Protocol, loop="none", log_level="warning", lifespan="off"
    )
    gc.freeze()
    try:
        await uvicorn.Server(config).serve()
    finally:
        worker.terminate()
        server.close()


if __name__ == "__main__":
    STRICT = sys.argv[3] == "strict"
    KEYS.add(hashlib.sha256(sys.argv[4].encode()).digest())
    uvloop.run(main(int(sys.argv[1])))
