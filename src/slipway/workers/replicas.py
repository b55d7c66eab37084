"""One replica on the host's side: its process, the platform's end of its socket, the handshakes."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from typing import Literal

from slipway.ids import new_id
from slipway.types import AlgorithmFailure, Version
from slipway.wire.frames import (
    ACCEPTED,
    CALL,
    ERROR,
    HELLO,
    LOG,
    NO_CALL,
    READY,
    REPLY,
    Decoder,
    Frame,
    ProtocolError,
    decode_fields,
    encode,
    encode_fields,
)

_PROOF_SECONDS = 0.25
_SAMPLE_SECONDS = 60.0
_OUTPUT_LIMIT = 32 * 1024
_KINDS = "1,2,3,4,5,6,7,13,14,15"


class LoadFailed(Exception):
    """The version cannot be loaded; `failure` says why."""

    def __init__(self, failure: AlgorithmFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class HostedReplica:
    """A worker that this host has started."""

    def __init__(self, version: Version, connection: socket.socket) -> None:
        self.id = new_id()
        self.version = version
        self.connection = connection  # non-blocking; leased as a duplicate
        self.pid = 0
        self.process: subprocess.Popen[bytes] | None = None  # of one that no zygote forked
        self.state: Literal["starting", "idle", "leased"] = "starting"
        self.holder = ""  # the gateway
        self.started = time.monotonic()
        self.ready_seconds = 0.0
        self.credit = self.concurrency = 1
        self.modules: list[str] = []
        self.output = ""
        self.doom: AlgorithmFailure | None = None  # why the host killed it
        self._decoder = Decoder()
        self._frames: list[Frame] = []

    async def load(self) -> None:
        """Say hello, which is also the go, and wait until the version is loaded. Raises LoadFailed."""
        limit = self.version.scaling.load_seconds
        try:
            async with asyncio.timeout(limit):
                await self._hello(new_id())
                ready = await self._expect_ready()
        except TimeoutError:
            raise LoadFailed(_failure(f"loading took longer than {limit:g} s")) from None
        except (OSError, ProtocolError) as error:
            raise LoadFailed(_failure(f"the worker ended while it loaded: {error}")) from error
        self.credit, self.concurrency = int(ready["credit"]), int(ready["concurrency"])
        self.modules = [name for name in ready.get("modules", "").split(",") if name]
        self.ready_seconds = time.monotonic() - self.started
        self.state = "idle"

    async def proves_idle(self) -> bool:
        """Whether it answers a new hello with exactly that: its stream is in order and it works on nothing."""
        lease = new_id()
        try:
            async with asyncio.timeout(_PROOF_SECONDS):
                await self._hello(lease)
                frame = await self._next()
                return frame.kind == READY and decode_fields(frame.header).get("lease") == lease
        except (TimeoutError, OSError, ProtocolError):
            return False

    async def try_sample(self, sample: bytes) -> AlgorithmFailure | None:
        """Call it once with JSON; the failure, if it fails."""
        fields = {"content_type": "json", "timeout_ms": str(int(_SAMPLE_SECONDS * 1000)), "caller": "build"}
        try:
            async with asyncio.timeout(_SAMPLE_SECONDS):
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(
                    self.connection, encode(CALL, b"build-sample-001", encode_fields(fields), sample)
                )
                return await self._outcome()
        except TimeoutError:
            return AlgorithmFailure(error_type="TimeoutError", message="the sample input took longer than 60 s")
        except (OSError, ProtocolError) as error:
            return AlgorithmFailure(error_type="SystemExit", message=f"the worker ended during the sample: {error}")

    async def _outcome(self) -> AlgorithmFailure | None:
        while True:
            frame = await self._next()
            if frame.kind == LOG:
                self._keep(frame)
            elif frame.kind == ERROR:
                return _failed(frame)
            elif frame.kind == REPLY:
                return None
            elif frame.kind != ACCEPTED:
                raise ProtocolError(f"unexpected frame of kind {frame.kind}")

    async def _hello(self, lease: str) -> None:
        version = self.version
        fields = {
            "protocol": "1",
            "lease": lease,
            "kinds": _KINDS,
            "directory": version.directory,
            "entry": version.entry,
            "algorithm": f"{version.owner}/{version.algorithm}",
            "version": version.commit,
            "memory": str(version.resources.memory_bytes),
        }
        hello = encode(HELLO, NO_CALL, encode_fields(fields))
        await asyncio.get_running_loop().sock_sendall(self.connection, hello)

    async def _expect_ready(self) -> dict[str, str]:
        while True:
            frame = await self._next()
            if frame.kind == LOG:
                self._keep(frame)
            elif frame.kind == ERROR:
                raise LoadFailed(_failed(frame))
            elif frame.kind == READY:
                return decode_fields(frame.header)
            else:
                raise ProtocolError(f"unexpected frame of kind {frame.kind}")

    async def _next(self) -> Frame:
        while not self._frames:
            data = await asyncio.get_running_loop().sock_recv(self.connection, 256 * 1024)
            if not data:
                raise OSError("its socket closed")
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    def _keep(self, frame: Frame) -> None:
        if len(self.output) < _OUTPUT_LIMIT:
            self.output = (self.output + frame.body.decode("utf-8", "replace"))[:_OUTPUT_LIMIT]

    def resident_bytes(self) -> int:
        """Memory of its own: resident, without what it maps from files."""
        try:
            with open(f"/proc/{self.pid}/statm") as statm:
                _, resident, shared, *_ = statm.read().split()
        except OSError:
            return 0
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def _failure(message: str) -> AlgorithmFailure:
    return AlgorithmFailure(error_type="LoadingError", message=message)


def _failed(frame: Frame) -> AlgorithmFailure:
    fields = decode_fields(frame.header)
    trace = frame.body.decode("utf-8", "replace")[:_OUTPUT_LIMIT]
    return AlgorithmFailure(error_type=fields["type"], message=fields["message"][:8192], stack_trace=trace)
