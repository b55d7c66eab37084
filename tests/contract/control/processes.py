"""A real control process, and a real host where builds need one, spoken to over Unix sockets."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from slipway.journal.reader import read_all
from slipway.journal.records import EventRecord
from slipway.settings import Settings
from tests.conditions import eventually
from tests.contract.release.workshop import HostProcess

_START_SECONDS = 30.0


class Control:
    """Control on a data directory; it may be killed and started again."""

    def __init__(self, data: Path, **options: object) -> None:
        self.settings = Settings(data=str(data))
        self.log = data.parent / f"{data.name}.control.log"
        self._options = [f"{name}={value}" for name, value in options.items()]
        self.process: subprocess.Popen[bytes]

    @property
    def admin_key(self) -> str:
        """The administrator's key."""
        return self.settings.admin_key_file.read_text().strip()

    def start(self) -> Control:
        """Start, and wait until it is ready."""
        self.spawn()
        with self.client() as client:
            eventually(lambda: self._is_ready(client), _START_SECONDS)
        return self

    def spawn(self) -> None:
        """Start, and wait for nothing."""
        command = [sys.executable, "-m", "tests.contract.control.control_process", str(self.settings.root)]
        self.settings.root.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)

    def client(self, key: str = "") -> httpx.Client:
        """A client of the public socket, with that key."""
        return _client(self.settings.control_socket, {"Authorization": f"Simple {key}"} if key else {})

    def internal(self) -> httpx.Client:
        """A client of the internal socket."""
        return _client(self.settings.internal_socket, {})

    def admin(self) -> httpx.Client:
        """A client with the administrator's key."""
        return self.client(self.admin_key)

    def account(self, name: str) -> httpx.Client:
        """A new user, as a client with a key of theirs."""
        with self.admin() as admin:
            admin.post("/v1/users", json={"username": name}).raise_for_status()
            made = admin.post(f"/v1/users/{name}/keys", json={"label": "test"})
        return self.client(made.raise_for_status().json()["key"])

    def events(self, **wanted: str) -> list[EventRecord]:
        """The events in the journal whose fields are as wanted; those of requests that were answered are there."""
        records = [entry.record for entry in read_all(self.settings.journal_directory)]
        events = [record for record in records if isinstance(record, EventRecord)]
        return [event for event in events if all(getattr(event, name) == value for name, value in wanted.items())]

    def _is_ready(self, client: httpx.Client) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        # httpx leaves the socket of a refused connection to the garbage collector, which warns of it.
        return listens(self.settings.control_socket) and client.get("/health/ready").status_code == 200


@contextmanager
def running_control(data: Path, **options: object) -> Iterator[Control]:
    """Control, ended afterwards."""
    control = Control(data, **options)
    try:
        yield control.start()
    finally:
        control.end()


@contextmanager
def running_host(settings: Settings) -> Iterator[HostProcess]:
    """A host beside it."""
    settings.run_directory.mkdir(parents=True, exist_ok=True)
    host = HostProcess(settings)
    try:
        yield host
    finally:
        host.end()


def listens(path: Path) -> bool:
    """Whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def message(reply: httpx.Response, status: int) -> str:
    """The message of a refusal with that status, in the management API's form."""
    assert reply.status_code == status, reply.text
    error: dict[str, Any] = reply.json()["error"]
    assert set(error) >= {"id", "code", "message"}
    return str(error["message"])


def _client(path: Path, headers: dict[str, str]) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(path))
    return httpx.Client(transport=transport, base_url="http://control", headers=headers, timeout=60)
