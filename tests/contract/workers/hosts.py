"""A host in a process of its own, and the gateways and control that talk to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from slipway.ids import new_id, new_id_bytes
from slipway.settings import Settings
from slipway.testing import descendants
from slipway.types import Resources, Scaling, Version
from slipway.wire.channel import connect
from slipway.wire.frames import CALL, ERROR, REPLY, Decoder, Frame, decode_fields, encode, encode_fields
from slipway.wire.messages import (
    Cancel,
    Check,
    Checked,
    Discard,
    Exited,
    GiveBack,
    Inspect,
    Inspected,
    Join,
    Lease,
    Members,
    Run,
    StartFailed,
    ToControl,
    ToGateway,
    Want,
)
from tests.conditions import eventually
from tests.factories import make_version

M = TypeVar("M")
PATIENCE_SECONDS = 20.0


class Host:
    """One host. Its sockets lie in a short path, for the kernel allows no long one."""

    def __init__(self, root: Path, become: Callable[[], None] | None = None, **options: Any) -> None:
        self.settings, self._options, self._become = Settings(data=str(root), **options), options, become
        for directory in (self.settings.run_directory, self.settings.environments_directory):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(root.stat().st_mode)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        arguments = [str(self.settings.root), json.dumps(self._options)]
        command = [sys.executable, "-m", "tests.contract.workers.host_process", *arguments]
        self.process = subprocess.Popen(command, start_new_session=True, preexec_fn=self._become)
        eventually(self._listens)

    def _listens(self) -> bool:
        try:
            connect(str(self.settings.host_socket)).close()
        except OSError:
            return False
        return True

    @property
    def process_user(self) -> int:
        """Whose process it is."""
        return os.stat(f"/proc/{self.process.pid}").st_uid

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def processes(self) -> list[int]:
        """All that live below it."""
        return descendants(self.process.pid)

    def events(self, verb: str) -> list[tuple[str, dict[str, str]]]:
        """Outcome and detail of the events of that kind so far."""
        lines = (self.settings.root / "events").read_text().splitlines()
        return [(outcome, detail) for found, _, outcome, detail in map(json.loads, lines) if found == verb]

    def version(self, source: str, memory: int = 2**30, load_seconds: float = 30.0, **changes: Any) -> Version:
        """A built version whose entry is `source`, in an environment with this test's own interpreter."""
        directory = Path(tempfile.mkdtemp(dir=self.settings.root))
        directory.chmod(0o755)  # as builds leave it
        (directory / "src").mkdir()
        (directory / "src" / "echo.py").write_text(source)
        scaling, resources = Scaling(load_seconds=load_seconds), Resources(memory_bytes=memory)
        given = {"directory": str(directory), "interpreter": sys.executable, "scaling": scaling, "resources": resources}
        return make_version(**{**given, **changes})


class Peer:
    """One connection to a host."""

    def __init__(self, host: Host, role: str, name: str, incoming: Any) -> None:
        self._connection = connect(str(host.settings.host_socket))
        self._connection.settimeout(PATIENCE_SECONDS)
        self._decoder = msgspec.json.Decoder(incoming)
        self._kept: list[Any] = []
        self.send(Join(role=role, name=name))  # type: ignore[arg-type]

    def send(self, message: msgspec.Struct, *descriptors: int) -> None:
        """One message."""
        socket.send_fds(self._connection, [msgspec.json.encode(message)], list(descriptors))

    def expect(self, kind: type[M], matches: Callable[[M], bool] = lambda _message: True) -> M:
        """The next message of that kind; others are kept. Fails when it does not come."""
        for message in self._kept:
            if isinstance(message, kind) and matches(message):
                self._kept.remove(message)
                return message
        while True:
            message = self._next()
            if isinstance(message, kind) and matches(message):
                return message
            self._kept.append(message)

    def has(self, kind: type[M]) -> bool:
        """Whether a message of that kind has come."""
        self._connection.settimeout(0)
        try:
            while True:
                self._kept.append(self._next())
        except BlockingIOError:
            return any(isinstance(message, kind) for message in self._kept)
        finally:
            self._connection.settimeout(PATIENCE_SECONDS)

    def close(self) -> None:
        """Leave."""
        self._connection.close()
        for message in self._kept:
            self._drop(message)

    def _next(self) -> Any:
        data, descriptors, _, _ = socket.recv_fds(self._connection, 256 * 1024, 4)
        if not data:
            raise EOFError("the host closed the connection")
        return self._decoded(self._decoder.decode(data), descriptors)

    def _decoded(self, message: Any, _descriptors: list[int]) -> Any:
        return message

    def _drop(self, message: Any) -> None:
        pass


class Gateway(Peer):
    """Wants replicas."""

    def __init__(self, host: Host, name: str = "gateway-0") -> None:
        self._leases: dict[str, int] = {}
        self._replicas: list[LeasedReplica] = []
        super().__init__(host, "gateway", name, ToGateway)

    def want(self, version: Version, replicas: int = 1) -> None:
        """Say how many."""
        self.send(Want(version=version, replicas=replicas))

    def leased(self) -> LeasedReplica:
        """The next replica that it is given."""
        lease = self.expect(Lease)
        replica = LeasedReplica(lease, self._leases.pop(lease.replica))
        self._replicas.append(replica)
        return replica

    def discard(self, replica: LeasedReplica, cause: str) -> None:
        """Give it back."""
        self.send(Discard(replica=replica.id, cause=cause))  # type: ignore[arg-type]
        replica.close()

    def exited(self, replica: LeasedReplica) -> Exited:
        """Why a replica ended."""
        return self.expect(Exited, lambda message: message.replica == replica.id)

    def start_failed(self) -> StartFailed:
        """The next failure."""
        return self.expect(StartFailed)

    def asked_back(self) -> int:
        """How many idle replicas the host wants next."""
        return self.expect(GiveBack).replicas

    def members(self, *names: str) -> Members:
        """Wait until exactly these are there."""
        return self.expect(Members, lambda message: message.names == names)

    def close(self) -> None:
        """Leave, as a gateway that dies does: its replicas' sockets close too."""
        super().close()
        for replica in self._replicas:
            replica.close()

    def _decoded(self, message: Any, descriptors: list[int]) -> Any:
        if isinstance(message, Lease):
            (self._leases[message.replica],) = descriptors
        return message

    def _drop(self, message: Any) -> None:
        if isinstance(message, Lease):
            os.close(self._leases.pop(message.replica))


class LeasedReplica:
    """The platform's end of a worker's socket, and one way to use it."""

    def __init__(self, lease: Lease, descriptor: int) -> None:
        self.id, self.lease = lease.replica, lease
        self.connection = socket.socket(fileno=descriptor)
        self.connection.settimeout(PATIENCE_SECONDS)
        self._decoder, self._frames = Decoder(), list[Frame]()

    def begin(self, value: object) -> bytes:
        """Send a call; its id."""
        call = new_id_bytes()
        fields = {"content_type": "json", "timeout_ms": "10000", "caller": "ann"}
        self.connection.sendall(encode(CALL, call, encode_fields(fields), json.dumps(value).encode()))
        return call

    def next(self) -> Frame:
        """The next frame; raises EOFError at the end."""
        while not self._frames:
            data = self.connection.recv(65536)
            if not data:
                raise EOFError
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    def call(self, value: object) -> Any:
        """The result, or the error's fields."""
        self.begin(value)
        while (frame := self.next()).kind not in (REPLY, ERROR):
            pass
        fields = decode_fields(frame.header)
        if frame.kind == ERROR:
            return fields
        return json.loads(frame.body) if fields["content_type"] == "json" else frame.body.decode()

    def close(self) -> None:
        """Let go."""
        self.connection.close()


class Control(Peer):
    """Asks for checks, commands and what runs."""

    def __init__(self, host: Host) -> None:
        super().__init__(host, "control", "control", ToControl)

    def check(self, version: Version, sample: bytes | None = None) -> Checked:
        """The answer to a check."""
        request = new_id()
        self.send(Check(request=request, version=version, sample=sample))
        return self.expect(Checked, lambda message: message.request == request)

    def run(self, *command: str, directory: Path, timeout: float = 30.0, **environment: str) -> tuple[str, int]:
        """Start a command: the request, and the descriptor of its output."""
        request = new_id()
        reading, writing = os.pipe()
        fields = {"command": command, "directory": str(directory), "environment": environment}
        self.send(Run(request=request, timeout_seconds=timeout, **fields), writing)  # type: ignore[arg-type]
        os.close(writing)
        return request, reading

    def cancel(self, request: str) -> None:
        """End a request."""
        self.send(Cancel(request=request))

    def inspect(self) -> Inspected:
        """What runs."""
        self.send(Inspect(request=new_id()))
        return self.expect(Inspected)


def gone(pids: list[int]) -> bool:
    """Whether all of these processes have ended."""
    return not any(_state(pid) not in "ZX" for pid in pids)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def read_all(descriptor: int) -> bytes:
    """What a command prints until it and all that it started have ended."""
    with os.fdopen(descriptor, "rb") as reader:
        return reader.read()


def elapsed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started
