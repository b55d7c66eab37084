"""The supervising process: what `slipway up` becomes. It lives as long as the platform, so it imports little."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from slipway.errors import StartupError
from slipway.settings import Settings
from slipway.supervisor import Supervisor

_SETTINGS = "SLIPWAY_SUPERVISOR_SETTINGS"
_OPTIONS = "SLIPWAY_SUPERVISOR_OPTIONS"
_POLL_SECONDS = 1.0


def become_supervisor(settings: Settings, options: Mapping[str, Any]) -> None:
    """Replace this process by the supervising one; `options` stand above all other settings. Does not return."""
    sys.stdout.flush()
    known = {_SETTINGS: msgspec.json.encode(settings).decode(), _OPTIONS: msgspec.json.encode(options).decode()}
    environment = {**os.environ, **known}
    os.execve(sys.executable, [sys.executable, "-m", "slipway.cli.local.supervise"], environment)  # noqa: S606


def main() -> int:
    """Supervise until a signal says stop; 2 where the platform cannot start."""
    settings = msgspec.json.decode(os.environ.pop(_SETTINGS), type=Settings)
    options = msgspec.json.decode(os.environ.pop(_OPTIONS), type=dict[str, Any])
    known_key = settings.admin_key_file.exists()
    service = os.environ.pop("NOTIFY_SOCKET", "")  # this process's own, not its children's
    try:
        supervisor = Supervisor(settings, _report, options)
        try:
            supervisor.start()
            supervisor.watch(_Announcement(supervisor, known_key, service))
        finally:
            _tell(service, "STOPPING=1")
            supervisor.close()
    except StartupError as error:
        print(f"slipway: {error}", file=sys.stderr)
        return 2
    return 0


class _Announcement:
    """Says once that the platform is ready, and at its first start the admin's key."""

    def __init__(self, supervisor: Supervisor, known_key: bool, service: str) -> None:
        self._supervisor, self._known_key, self._service = supervisor, known_key, service

    def __call__(self) -> None:
        if self._supervisor.established or not _is_ready(self._supervisor):
            return
        self._supervisor.established = True
        file = self._supervisor.settings.admin_key_file
        if not self._known_key:
            _say(f"the key of the account admin, shown this once, is {_read(file)} (kept in {file})")
        _say(f"listening on {self._supervisor.url}")
        _tell(self._service, "READY=1")


def _is_ready(supervisor: Supervisor) -> bool:
    address = supervisor.local_url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=_POLL_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tell(service: str, state: str) -> None:
    """systemd's own protocol: one datagram to the socket that it names; nothing where it did not start this."""
    if service:
        address = f"\0{service[1:]}" if service.startswith("@") else service
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), address)


def _read(file: Path) -> str:
    return file.read_text().strip()


def _report(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} {line}", file=sys.stderr, flush=True)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
