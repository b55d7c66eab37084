"""What a platform must hold before it starts: its directories, their lock, a listening socket. And who holds them."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path

import msgspec

from slipway.errors import DataDirectoryInUse, DataDirectoryUnusable, PortTaken
from slipway.processes import start_ticks
from slipway.settings import Settings

_BACKLOG = 2048
_LAST_PORT = 65535
_LOCK_SECONDS = 2.0  # a platform that was killed a moment ago still ends
_LONGEST_SOCKET_PATH = 107  # sun_path, without its closing zero


class Occupant(msgspec.Struct, frozen=True):
    """The platform that runs on a data directory, as its supervisor notes it down."""

    pid: int
    started: int  # clock ticks since boot
    url: str
    version: str


def make_directories(settings: Settings) -> None:
    """Make the data directory, and see that it can be written. Raises DataDirectoryUnusable."""
    try:
        for directory in (settings.root, settings.logs_directory):
            directory.mkdir(parents=True, exist_ok=True)
        settings.run_directory.mkdir(mode=0o700, exist_ok=True)
        settings.run_directory.chmod(0o700)
        probe = settings.run_directory / "probe"
        probe.write_bytes(b"x" * 65536)
        probe.unlink()
    except OSError as error:
        raise DataDirectoryUnusable(
            f"the data directory {settings.root} cannot be written: {error.strerror}"
        ) from error
    longest = settings.gateway_socket("gateway-00")
    if len(os.fsencode(longest)) > _LONGEST_SOCKET_PATH:
        raise DataDirectoryUnusable(f"the path of the data directory {settings.root} is too long for its sockets")


def lock(settings: Settings) -> int:
    """The descriptor that holds the data directory for this process and those that inherit it.

    Raises DataDirectoryInUse.
    """
    descriptor = os.open(settings.run_directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError as error:
            if occupant(settings) is not None or time.monotonic() > deadline:
                os.close(descriptor)
                raise DataDirectoryInUse(
                    f"another platform runs on {settings.root}: stop it with `slipway down`, or choose another `--data`"
                ) from error
            time.sleep(0.02)


def listen(host: str, port: int) -> socket.socket:
    """The listening socket that all gateways share. Raises PortTaken."""
    if not 0 <= port <= _LAST_PORT:
        raise PortTaken(f"cannot listen on port {port}: ports end at {_LAST_PORT}")
    try:
        # The address may be a name; "" and "::" mean every interface.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise PortTaken(f"cannot listen on {host}:{port}: {reason}; choose another `--port`") from error
    return listener


def note_occupant(settings: Settings, url: str, version: str) -> None:
    """Write down that this process runs a platform here."""
    pid = os.getpid()
    noted = Occupant(pid=pid, started=start_ticks(pid) or 0, url=url, version=version)
    temporary = _note(settings).with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(noted) + b"\n")
    temporary.rename(_note(settings))


def forget_occupant(settings: Settings) -> None:
    """The platform has ended."""
    _note(settings).unlink(missing_ok=True)


def occupant(settings: Settings) -> Occupant | None:
    """The platform that runs on the data directory, if one does. Raises DataDirectoryUnusable without permission."""
    try:
        noted = msgspec.json.decode(_note(settings).read_bytes(), type=Occupant)
    except PermissionError as error:
        raise DataDirectoryUnusable(f"the data directory {settings.root} belongs to another user") from error
    except (OSError, msgspec.MsgspecError):
        return None
    return noted if start_ticks(noted.pid) == noted.started else None


def _note(settings: Settings) -> Path:
    return settings.run_directory / "platform.json"
