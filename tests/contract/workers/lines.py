"""The platform's end of a worker's socket, for tests that speak the protocol themselves."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.ids import new_id_bytes
from slipway.wire.frames import (
    CALL,
    ERROR,
    HELLO,
    LOG,
    NO_CALL,
    REPLY,
    STREAM_END,
    Decoder,
    Frame,
    decode_fields,
    encode,
    encode_fields,
)
from slipway.workers.runtimes.install import install_runtimes
from slipway.workers.sandbox.launching import launch, worker_environment
from tests.contract.workers.runtimes import Runtime

PATIENCE_SECONDS = 20.0
ANSWERS = (REPLY, ERROR, STREAM_END)


class Line:
    """One worker, not yet told to load."""

    def __init__(
        self, runtime: Runtime, directory: Path, near: socket.socket, process: subprocess.Popen[bytes]
    ) -> None:
        self.runtime, self.directory, self.connection, self.process = runtime, directory, near, process
        self.said: list[str] = []  # what was printed while it loaded
        self._decoder, self._frames = Decoder(), list[Frame]()
        near.settimeout(PATIENCE_SECONDS)

    def send(self, kind: int, call: bytes = NO_CALL, body: bytes = b"", **fields: str) -> None:
        """One frame."""
        self.connection.sendall(encode(kind, call, encode_fields(fields), body))

    def next(self) -> Frame:
        """The next frame; raises EOFError at the end."""
        while not self._frames:
            data = self.connection.recv(65536)
            if not data:
                raise EOFError
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    def hello(
        self, lease: str = "lease-1", memory: int = 2**30, max_batch: int = 4, concurrency: int | None = None
    ) -> Frame:
        """Handshake; the first frame that is no log."""
        where = {"directory": str(self.directory), "entry": self.runtime.entry}
        what = {"algorithm": "ann/echo", "version": "v", "memory": str(memory), "max_batch": str(max_batch)}
        if concurrency is not None:
            what["concurrency"] = str(concurrency)
        fields = {"protocol": "1", "lease": lease, "kinds": "1,2,3,4,5,6,7,8,9,11,12,13,14,15", **where, **what}
        self.connection.sendall(encode(HELLO, NO_CALL, encode_fields(fields)))
        while (frame := self.next()).kind == LOG:
            self.said.append(frame.body.decode())
        return frame

    def begin(self, value: object, content_type: str = "json", **fields: str) -> bytes:
        """Send a call; its id."""
        body = json.dumps(value).encode() if content_type == "json" else value
        assert isinstance(body, bytes)
        call = new_id_bytes()
        self.send(CALL, call, body, content_type=content_type, timeout_ms="1000", caller="ann", **fields)
        return call

    def call(self, value: object, content_type: str = "json", **fields: str) -> list[Frame]:
        """All frames of one call, the last one its answer."""
        call = self.begin(value, content_type, **fields)
        frames = [self.next()]
        while frames[-1].kind not in ANSWERS:
            frames.append(self.next())
        assert {frame.call for frame in frames} == {call}
        return frames

    def answers(self, calls: Iterable[bytes]) -> dict[bytes, list[Frame]]:
        """All frames of calls that have begun, by call, each to its answer; those of others are dropped."""
        frames: dict[bytes, list[Frame]] = {call: [] for call in calls}
        while not all(of and of[-1].kind in ANSWERS for of in frames.values()):
            frame = self.next()
            if frame.call in frames:
                frames[frame.call].append(frame)
        return frames

    def result(self, value: object) -> object:
        """The JSON result of a call."""
        reply = self.call(value)[-1]
        assert reply.kind == REPLY, decode_fields(reply.header)
        return json.loads(reply.body)

    def failure(self, value: object, content_type: str = "json") -> tuple[str, str]:
        """Error type and message of a call."""
        error = self.call(value, content_type)[-1]
        assert error.kind == ERROR
        fields = decode_fields(error.header)
        return fields["type"], fields["message"]

    def rest(self) -> list[Frame]:
        """All frames until the end."""
        frames = []
        try:
            while True:
                frames.append(self.next())
        except EOFError:
            return frames

    def ended(self) -> int:
        """Wait for its end; its exit status."""
        self.rest()
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def worker(runtime: Runtime, root: Path) -> Iterator[Line]:
    """A worker that waits for its hello, its version's directory below `root`."""
    near, far = socket.socketpair()
    installed = install_runtimes(root / "runtimes")
    with far, (root / "log").open("ab") as log:
        process = launch(
            runtime.command,
            directory=installed,
            environment=worker_environment(installed),
            descriptors={0: far.fileno(), 3: far.fileno(), 1: log.fileno(), 2: log.fileno()},
        )
    runtime.write(root / "version")
    with near:
        yield Line(runtime, root / "version", near, process)
    process.kill()
    process.wait()
