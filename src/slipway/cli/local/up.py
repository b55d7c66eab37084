"""`slipway up` and `slipway down`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer

from slipway.cli.output import fail, note
from slipway.errors import StartupError
from slipway.settings import Settings, load_settings
from slipway.supervisor import Supervisor

_UNUSABLE = 2
_STOP_SECONDS = 60.0

Data = Annotated[Path | None, typer.Option("--data", help="The data directory.", show_default=False)]


def up(
    data: Data = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 for a free one.", show_default=False)] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default=False)] = None,
    gateways: Annotated[int | None, typer.Option(help="Gateway processes.", show_default=False)] = None,
) -> None:
    """Start the platform here, and keep it running until Ctrl-C or `slipway down`."""
    given = {"data": str(data) if data else None, "port": port, "host": host, "gateways": gateways}
    try:
        settings = load_settings(given)
        fresh = not settings.admin_key_file.exists()
        supervisor = Supervisor(settings, lambda line: note(line))
    except StartupError as error:
        fail(str(error), _UNUSABLE)
    sys.exit(_run(supervisor, _Announcement(supervisor, fresh)))


def down(data: Data = None) -> None:
    """Stop the platform that runs on a data directory; waits until it is gone."""
    settings = _settings(data)
    pid = running_pid(settings)
    if pid is None:
        note(f"no platform runs on {settings.root}")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + settings.drain_seconds + _STOP_SECONDS
    while running_pid(settings) == pid and time.monotonic() < deadline:
        time.sleep(0.05)
    if running_pid(settings) == pid:
        fail(f"process {pid} still runs; its log is below {settings.logs_directory}")
    note("stopped")


def running_pid(settings: Settings) -> int | None:
    """The supervisor's process id; None where none runs on the data directory."""
    try:
        pid = int((settings.run_directory / "pid").read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def _settings(data: Path | None) -> Settings:
    try:
        return load_settings({"data": str(data) if data else None})
    except StartupError as error:
        fail(str(error), _UNUSABLE)


def _run(supervisor: Supervisor, announcement: _Announcement) -> int:
    try:
        supervisor.start()
        supervisor.watch(announcement.look)
    except StartupError as error:
        note(str(error))
        return _UNUSABLE
    finally:
        supervisor.close()
    return 0


class _Announcement:
    """Says where the platform listens once it really answers."""

    def __init__(self, supervisor: Supervisor, fresh: bool) -> None:
        self._supervisor, self._fresh = supervisor, fresh
        self._made = False

    def look(self) -> None:
        """Ask whether it is ready, until it was."""
        if self._made:
            return
        address = self._supervisor.settings.host or "127.0.0.1"
        local = "127.0.0.1" if address == "0.0.0.0" else address  # noqa: S104
        try:
            ready = httpx.get(f"http://{local}:{self._supervisor.port}/health/ready", timeout=0.5).status_code == 200
        except httpx.TransportError:
            return
        if ready:
            self._made = True
            self._announce()

    def _announce(self) -> None:
        settings = self._supervisor.settings
        print(f"Slipway listens on {self._supervisor.url}, data in {settings.root}")
        if self._fresh:
            key = settings.admin_key_file.read_text().strip()
            print(f"admin key: {key}   (kept in {settings.admin_key_file}; it is not shown again)")
        print("Ctrl-C stops it.", flush=True)
