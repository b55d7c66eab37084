"""The composition root: the only place that wires parts into processes. `python -m slipway.app PROCESS`."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Coroutine
from typing import Any

import msgspec
import uvloop

from slipway.errors import StartupError
from slipway.settings import Settings

EXIT_UNUSABLE = 2  # what is wrong will not mend itself: the supervisor gives up

_SETTINGS = "SLIPWAY_PROCESS_SETTINGS"
_LISTEN = "SLIPWAY_LISTEN_FD"
_GATEWAY = "SLIPWAY_GATEWAY_NAME"


def environment_for(settings: Settings, gateway: str = "", listen: int = -1) -> dict[str, str]:
    """What a process's environment must hold for `main` to find its part."""
    values = {_SETTINGS: msgspec.json.encode(settings).decode()}
    if gateway:
        values.update({_GATEWAY: gateway, _LISTEN: str(listen)})
    return values


def main() -> int:
    """Run the process that the command line names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = msgspec.json.decode(os.environ[_SETTINGS], type=Settings)
    try:
        uvloop.run(_process(sys.argv[1], settings))
    except StartupError as error:
        print(f"slipway: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    return 0


def _process(name: str, settings: Settings) -> Coroutine[Any, Any, None]:
    """Each process loads its own room only: what one of them needs costs the others nothing."""
    if name == "gateway":
        from slipway.gateway import server

        listener = socket.socket(fileno=int(os.environ[_LISTEN]))
        return server.run(settings, os.environ[_GATEWAY], listener)
    if name == "control":
        from slipway.control.app import run as run_control

        return run_control(settings)
    if name == "host":
        return _host(settings)
    if name == "observer":
        from slipway.observe import observer

        return observer.run(settings)
    raise SystemExit(f"no process is called {name}")


async def _host(settings: Settings) -> None:
    """The host, its events wired to a journal of its own."""
    from slipway.journal.writer import JournalWriter
    from slipway.workers import host

    journal = JournalWriter(settings.journal_directory / "host", "host", segment_bytes=settings.journal_segment_bytes)
    journal.start(asyncio.get_running_loop())

    def on_event(verb: str, resource: str, outcome: str, detail: dict[str, str]) -> None:
        journal.event("host", verb, resource, outcome, **detail)

    try:
        await host.run(settings, on_event)
    finally:
        journal.close()


if __name__ == "__main__":
    sys.exit(main())
