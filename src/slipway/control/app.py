"""The control process: wires its parts, serves its two sockets, runs jobs and checkpoints."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from slipway import __version__
from slipway.control import algorithms, data, environments, errors, observation, source, users, versions
from slipway.control.context import Context
from slipway.control.feeds import TellFirst
from slipway.control.first_start import ensure_admin
from slipway.control.internal import internal_application
from slipway.control.jobs import JobRunner
from slipway.journal.checkpoints import CHECKPOINTS, Checkpointer
from slipway.journal.records import EventRecord
from slipway.journal.writer import JournalWriter
from slipway.registry.files import Files
from slipway.registry.store import Store
from slipway.release.build import JOB_KIND, Builds
from slipway.release.hosts import Hosts
from slipway.settings import Settings

_GRACE_SECONDS = 2
_SEGMENT_BYTES = 8 * 2**20  # events are few; a gateway's segments are larger


async def run(settings: Settings) -> None:
    """Serve until SIGTERM. Raises StartupError where the store or journal cannot be used."""
    store = await Store.open(settings.store)
    await ensure_admin(store, settings)
    journal = _journal(settings, "control")
    checkpoints = _journal(settings, CHECKPOINTS)
    hosts = Hosts(settings.host_socket)
    hosts.start()
    files = Files(settings.files_directory)
    builds = Builds(store, settings, hosts, lambda event: _record(journal, event), files)
    runner = JobRunner(store, {JOB_KIND: builds.run}, settings.build_concurrency)
    context = Context(settings, store, journal, hosts, builds, files, runner.wake)
    await builds.recover()
    work = [
        asyncio.ensure_future(runner.run()),
        asyncio.ensure_future(Checkpointer(settings.journal_directory, settings.root / "ledger.key").run(checkpoints)),
    ]
    try:
        await _serve(context)
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        hosts.stop()
        checkpoints.close()
        journal.close()
        await store.close()


def public_application(context: Context) -> FastAPI:
    """The management API, and git."""
    app = FastAPI(title="Slipway", version=__version__, openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None)
    app.state.context = context
    errors.install(app)
    for module in (users, algorithms, versions, source, data, observation, environments):
        app.include_router(module.router)

    @app.get("/health/live", include_in_schema=False)
    async def live() -> PlainTextResponse:
        return PlainTextResponse("live\n")

    app.mount("/git", source.git_application(context))
    return app


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handling: there are two of them in this process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(context: Context) -> None:
    settings = context.settings
    servers = [
        (_server(TellFirst(public_application(context), context.feeds)), _unix_listener(settings.control_socket)),
        (_server(internal_application(context)), _unix_listener(settings.internal_socket)),
    ]

    def stop() -> None:
        for server, _ in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await asyncio.gather(*(server.serve([listener]) for server, listener in servers))


def _server(app: Any) -> _Server:  # noqa: ANN401 - an ASGI application
    config = uvicorn.Config(
        app,
        loop="none",
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        # The feed never ends by itself.
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return _Server(config)


def _unix_listener(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(256)
    listener.setblocking(False)
    return listener


def _journal(settings: Settings, name: str) -> JournalWriter:
    size = min(_SEGMENT_BYTES, settings.journal_segment_bytes)
    journal = JournalWriter(settings.journal_directory / name, name, segment_bytes=size)
    journal.start(asyncio.get_running_loop())
    return journal


def _record(journal: JournalWriter, event: EventRecord) -> None:
    journal.append(event, None, _nothing, _nothing)


def _nothing() -> None:
    pass
