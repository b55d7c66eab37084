"""`slipway serve --local`: a repository answers on this machine, on a platform that lives as long as the command.

It is the platform itself, in a directory of its own that is removed at the end, and not something that resembles it:
the same build, worker and door give the same answers. Environments are kept, so that a second run finds them made.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.deploying import carry_out
from slipway.cli.output import say
from slipway.client import Client
from slipway.connection import ClientError
from slipway.deployment import source_reading, sources
from slipway.deployment.flow import Plan
from slipway.deployment.sources import Source
from slipway.errors import StartupError
from slipway.processes import Child, kill

_OWNER = "local"
_PAUSE_SECONDS = 0.05
_STOP_SECONDS = 60.0
_READY = re.compile(r"^listening on (\S+)$", re.MULTILINE)
# Of the user's own platform; the rest, such as where packages come from, holds here too.
_NOT_OURS = tuple(f"SLIPWAY_{name}" for name in ("API", "API_KEY", "ADMIN_KEY", "PUBLIC_URL", "STORE_URL", "GATEWAYS"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    source: Annotated[Path, typer.Argument(metavar="DIRECTORY|FILE.py|NOTEBOOK.ipynb", exists=True, readable=True)],
    local: Annotated[bool, typer.Option("--local", help="On this machine, without a platform; needed.")] = False,
    algorithm: Annotated[
        str, typer.Option("-a", "--algorithm", metavar="[OWNER/]NAME", help="Its name; default: local/ and its own.")
    ] = "",
    requirements: Annotated[
        Path | None,
        typer.Option("-d", "--dependencies", exists=True, dir_okay=False, help="Its requirements; else as found."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any that is free.")] = 8080,
) -> None:
    """Build and serve a repository without a platform of one's own, until Ctrl-C; prints what it prints."""
    if not local:
        raise typer.BadParameter("say --local: elsewhere `slipway deploy` serves it")
    owner, _, name = algorithm.rpartition("/")
    found = sources.read(source, requirements, name=name)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _platform(host, port) as (url, key), Client(url, key) as client:
        _answer(client, found, owner or _OWNER, name or found.name)


def _answer(client: Client, found: Source, owner: str, name: str) -> None:
    client.create_account(owner)
    plan = Plan.of(found, owner, name, source_reading.MISSING, "minor", "public")
    carry_out(client, plan, publish=True, quiet=False)
    said = f"curl -H 'Authorization: Simple {client.key}' -H 'Content-Type: application/json' -d '\"world\"'"
    say(f"{said} {client.api}/v1/algo/{plan.algorithm}")
    sys.stdout.flush()
    for record in client.logs(plan.algorithm, time.time(), follow=True):
        say(str(record["stdout"]).rstrip("\n"))
        sys.stdout.flush()
    raise ClientError("the local platform has ended")


@contextlib.contextmanager
def _platform(host: str, port: int) -> Iterator[tuple[str, str]]:
    """Address and key of a platform that is gone, with all its processes and files, when the block ends."""
    root = Path(tempfile.mkdtemp(prefix="slipway-"))
    data = root / "d"  # sockets lie below it, whose paths may not be long
    data.mkdir()
    _kept("environments").mkdir(parents=True, exist_ok=True)
    (data / "environments").symlink_to(_kept("environments"))
    command = [sys.executable, "-m", "slipway.cli.main", "up", "--data", str(data), "--host", host, "--port", str(port)]
    child = Child("platform", command, _surroundings(os.environ), (), root / "log")
    child.start()
    try:
        url = _listening(child)
        yield url, (data / "admin.key").read_text().strip()
    finally:
        _end(child)
        _remove(root)


def _listening(child: Child) -> str:
    """The address, once it listens. Raises StartupError with its own words."""
    assert child.pid is not None
    while not (ready := _READY.search(child.log.read_text(errors="replace"))):
        ended, status = os.waitpid(child.pid, os.WNOHANG)
        if ended:
            child.ended(os.waitstatus_to_exitcode(status))
            raise StartupError(child.last_line().removeprefix("slipway: ") or "the local platform did not start")
        time.sleep(_PAUSE_SECONDS)
    return ready[1]


def _end(child: Child) -> None:
    if child.pid is None:
        return
    pid = child.pid
    child.send(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while not (found := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            kill(pid)
        time.sleep(_PAUSE_SECONDS)
    child.ended(os.waitstatus_to_exitcode(found[1]))


def _remove(root: Path) -> None:
    """Remove it all but for what its link leads to; what was built is read-only."""
    for folder, _, _ in os.walk(root):
        os.chmod(folder, 0o700)
    shutil.rmtree(root, ignore_errors=True)


def _kept(name: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(base) / "slipway" / name).resolve()


def _surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _NOT_OURS}
