"""The composition root: the only place that wires parts into processes. `python -m slipway.app PROCESS`.

Each process loads its own room only, hence the imports inside functions: what one of them needs costs the others
nothing, and the command line can name processes without the server's dependencies.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from slipway import live
from slipway.errors import StartupError
from slipway.settings import Settings

if TYPE_CHECKING:
    from slipway.workers.sandbox.levels import Level

EXIT_UNUSABLE = 2  # what is wrong will not mend itself

_SETTINGS = "SLIPWAY_PROCESS_SETTINGS"
_LOCK = "SLIPWAY_LOCK_FD"
_LISTEN = "SLIPWAY_LISTEN_FD"
_GATEWAY = "SLIPWAY_GATEWAY_NAME"
_HOST_SEGMENT_BYTES = 8 * 2**20  # its events are few


def environment_for(process: str, settings: Settings, lock: int, gateway: str = "", listen: int = -1) -> dict[str, str]:
    """What a process's environment must hold for `main` to find its part. Only control learns the admin's key."""
    # Where the data lies is said outright: whose home it is under is another question in another user namespace.
    known = msgspec.structs.replace(settings, data=str(settings.root))
    if process != "control":
        known = msgspec.structs.replace(known, admin_key="")
    values = {_SETTINGS: msgspec.json.encode(known).decode(), _LOCK: str(lock)}
    if gateway:
        values.update({_GATEWAY: gateway, _LISTEN: str(listen)})
    return values


def main() -> int:
    """Run the process that the command line names."""
    import uvloop

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = msgspec.json.decode(os.environ.pop(_SETTINGS), type=Settings)
    live.follow(settings)
    # Held until this process ends, so that no second platform starts beside it; its own children must not hold it.
    os.set_inheritable(int(os.environ.pop(_LOCK)), False)
    try:
        uvloop.run(_process(sys.argv[1], settings))
    except StartupError as error:
        print(f"slipway: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    return 0


def _process(name: str, settings: Settings) -> Coroutine[Any, Any, None]:
    if name == "gateway":
        return _gateway(settings)
    if name == "control":
        from slipway.control import app as control

        return control.run(settings)
    if name == "host":
        from slipway.workers.sandbox import levels

        level = levels.choose(settings.sandbox, settings.production)
        levels.prepare(level)
        return _host(settings, level)
    if name == "observer":
        from slipway.observe import observer

        return observer.run(settings)
    raise SystemExit(f"no process is called {name}")


def _gateway(settings: Settings) -> Coroutine[Any, Any, None]:
    from slipway.gateway import server

    listener = socket.socket(fileno=int(os.environ.pop(_LISTEN)))
    listener.set_inheritable(False)
    return server.run(settings, os.environ.pop(_GATEWAY), listener)


async def _host(settings: Settings, level: Level) -> None:
    """The host, its events wired to a journal of its own."""
    from slipway.journal.writer import JournalWriter
    from slipway.workers import host

    size = min(_HOST_SEGMENT_BYTES, settings.journal_segment_bytes)
    journal = JournalWriter(settings.journal_directory / "host", "host", segment_bytes=size)
    journal.start(asyncio.get_running_loop())

    def on_event(verb: str, resource: str, outcome: str, detail: dict[str, str]) -> None:
        journal.event("host", verb, resource, outcome, **detail)

    try:
        await host.run(settings, level, on_event)
    finally:
        journal.close()


if __name__ == "__main__":
    sys.exit(main())
