"""`slipway up`, `down`, `status`: the platform on this machine."""

from __future__ import annotations

import importlib.util
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.local import detached, state
from slipway.cli.local.supervise import become_supervisor
from slipway.cli.output import Json, print_json, say
from slipway.errors import DataDirectoryUnusable, SettingsError, StartupError
from slipway.premises import Occupant, occupant
from slipway.processes import kill
from slipway.reloading import Reloaded, answered
from slipway.settings import Settings, load_settings

Data = Annotated[Path | None, typer.Option("--data", help="The data directory.", file_okay=False)]

_STOP_MARGIN_SECONDS = 30.0
_ANSWER_SECONDS, _PAUSE_SECONDS = 10.0, 0.02


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(reload)
    app.command()(status)


def up(
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0: any that is free.")] = None,
    gateways: Annotated[int | None, typer.Option(min=1, max=64, help="Gateway processes.")] = None,
    production: Annotated[
        bool | None, typer.Option("--production", help="Start only where tenants are kept apart by namespaces.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is ready; it goes on by itself.")] = False,
) -> None:
    """Start the platform and stay with it; Ctrl-C drains the calls in flight and ends it."""
    require_server()
    options = {"data": data and str(data), "host": host, "port": port, "gateways": gateways, "production": production}
    settings = load_settings(options)
    _announce_sandboxes(settings)
    if detach:
        detached.start(settings, sys.argv)
        return
    become_supervisor(settings, {name: value for name, value in options.items() if value is not None})


def down(data: Data = None) -> None:
    """Stop the platform: calls in flight are finished first. Returns when it is gone."""
    settings = load_settings({"data": data and str(data)})
    running = occupant(settings)
    if running is None:
        say(f"no platform runs on {settings.root}")
        return
    _end(running, settings.drain_seconds + _STOP_MARGIN_SECONDS)
    say(f"stopped {running.url}")


def reload(data: Data = None, as_json: Json = False) -> None:
    """Read the settings again while the platform runs; tells which changed, and which wait for a restart."""
    settings = load_settings({"data": data and str(data)})
    running = occupant(settings)
    if running is None:
        raise StartupError(f"no platform runs on {settings.root}: `slipway up` reads its settings")
    answer = _reloaded(settings, running)
    if as_json:
        print_json(answer)
    else:
        say(f"changed: {', '.join(answer.changed) or 'nothing'}")
        if answer.restart:
            say(f"after `slipway down` and `slipway up`: {', '.join(answer.restart)}")
    if answer.error:
        raise SettingsError(answer.error)


def status(data: Data = None, as_json: Json = False) -> None:
    """Show what runs on this machine; exit code 1 if the platform is down."""
    settings = load_settings({"data": data and str(data)})
    found = state.platform_state(settings)
    if as_json:
        print_json(found)
    else:
        state.show(found)
    if not found["running"]:
        raise typer.Exit(1)


def _reloaded(settings: Settings, running: Occupant) -> Reloaded:
    """What a running platform answers. Raises StartupError where it does not."""
    before = answered(settings).number
    try:
        kill(running.pid, signal.SIGHUP)
    except PermissionError as error:
        raise DataDirectoryUnusable(f"the platform (process {running.pid}) belongs to another user") from error
    deadline = time.monotonic() + _ANSWER_SECONDS
    while time.monotonic() < deadline:
        answer = answered(settings)
        if answer.number > before:
            return answer
        time.sleep(_PAUSE_SECONDS)
    raise StartupError(f"the platform (process {running.pid}) did not answer within {_ANSWER_SECONDS:g} s")


def _end(running: Occupant, seconds: float) -> None:
    try:
        descriptor = os.pidfd_open(running.pid)
    except ProcessLookupError:
        return
    except OSError as error:
        raise StartupError(f"the platform's process {running.pid} cannot be reached: {error.strerror}") from error
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not select.select([descriptor], [], [], seconds)[0]:
            raise StartupError(f"the platform (process {running.pid}) did not stop within {seconds:g} s")
    except PermissionError as error:
        raise DataDirectoryUnusable(f"the platform (process {running.pid}) belongs to another user") from error
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def _announce_sandboxes(settings: Settings) -> None:
    """Say how other people's code is kept apart. Raises SandboxUnavailable."""
    from slipway.workers.sandbox import levels

    level = levels.choose(settings.sandbox, settings.production)
    missing = levels.strength().missing
    say(f"sandboxes: {level}" + (f" ({missing})" if missing else ""))


def require_server() -> None:
    """Raises StartupError where only the client is installed."""
    missing = [name for name in ("uvicorn", "fastapi", "sqlalchemy") if importlib.util.find_spec(name) is None]
    if missing:
        raise StartupError(f"the server is not installed ({missing[0]} is missing): pip install 'slipway[server]'")
