"""The control process: wires its parts, serves its two sockets, runs jobs and checkpoints."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from slipway import __version__, live
from slipway.control import (
    algorithms,
    data,
    environments,
    errors,
    failures,
    health,
    insights,
    keys,
    observation,
    openapi,
    organizations,
    policies,
    publications,
    requests,
    reservations,
    secrets,
    source,
    usage,
    users,
    versions,
)
from slipway.control.asynchronous.service import AsyncCalls
from slipway.control.context import Context, load_policies
from slipway.control.encodings import JsonUnlessSaidOtherwise
from slipway.control.feeds import TellFirst
from slipway.control.first_start import ensure_admin
from slipway.control.internal import internal_application
from slipway.control.jobs import JobRunner
from slipway.control.limits import BoundedBodies
from slipway.control.passed import take_over
from slipway.control.repair import make_missing_repositories
from slipway.control.sessions import forget_sessions
from slipway.errors import SlipwayError
from slipway.journal.checkpoints import CHECKPOINTS, Checkpointer
from slipway.journal.records import EventRecord
from slipway.journal.writer import JournalWriter
from slipway.registry.files import Files
from slipway.registry.store import Store
from slipway.release.build import JOB_KIND, Builds
from slipway.release.hosts import Hosts
from slipway.settings import Settings

_GRACE_SECONDS = 2
_NICENESS = 5  # calls go before management and transfers where both want the processor
_SEGMENT_BYTES = 8 * 2**20  # events are few; a gateway's segments are larger
_DESCRIPTION = "The management API. Calls, `/v1/algo/OWNER/NAME`, are the gateway's and not described here."

ROUTED = (
    users,
    keys,
    organizations,
    policies,
    secrets,  # before `algorithms`, whose paths would match too
    failures,
    usage,
    insights,
    reservations,
    algorithms,
    publications,
    versions,
    source,
    data,
    requests,
    observation,
    environments,
    health,
)  # every module with routes of the public application

logger = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM. Raises StartupError where the store or journal cannot be used."""
    os.nice(_NICENESS)
    settings.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = await Store.open(settings.store)
    try:
        await ensure_admin(store, settings)
        await _run(settings, store)
    finally:
        await store.close()


async def _run(settings: Settings, store: Store) -> None:
    journal, checkpoints = _journal(settings, "control"), _journal(settings, CHECKPOINTS)
    hosts = Hosts(settings.host_socket)
    hosts.start()
    files = Files(settings.files_directory)
    builds = Builds(store, settings, hosts, lambda event: _record(journal, event), files)
    runner = JobRunner(store, {JOB_KIND: builds.run}, settings.build_concurrency)
    live.on_change(lambda: runner.resize(settings.build_concurrency))
    context = Context(settings, store, journal, hosts, builds, files, runner.wake)
    checkpointer = Checkpointer(settings.journal_directory, settings.root / "ledger.key")
    calls = AsyncCalls(settings, store)
    try:
        await load_policies(context)
        await builds.recover()
        await calls.recover()
        work = [runner.run(), checkpointer.run(checkpoints), make_missing_repositories(context)]
        work += [forget_sessions(files), *calls.work()]
        await _serve(context, calls, work)
    finally:
        context.refusals.flush()
        hosts.stop()
        await calls.close()
        await asyncio.to_thread(checkpoints.close)
        await asyncio.to_thread(journal.close)


def public_application(context: Context) -> FastAPI:
    """The management API, and git."""
    app = FastAPI(
        title="Slipway",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    errors.install(app)
    for module in ROUTED:
        app.include_router(module.router)
    app.mount("/git", source.git_application(context))
    app.add_middleware(JsonUnlessSaidOtherwise)
    app.add_middleware(BoundedBodies)
    return app


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handling: there are two of them in this process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(context: Context, calls: AsyncCalls, work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Serve, and do the work beside it, until SIGTERM, or until some of the work fails, which is raised."""
    settings = context.settings
    api = TellFirst(public_application(context), context.feeds)
    public = _server(api)
    servers = {
        public: _unix_listener(settings.control_socket),
        _server(internal_application(context, api, calls.intake)): _unix_listener(settings.internal_socket),
    }

    def stop() -> None:
        context.stopping.begin()
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    passed = take_over(_unix_listener(settings.passing_socket), public)
    working = [asyncio.ensure_future(one) for one in (*work, passed)]
    for task in working:
        task.add_done_callback(lambda task: stop() if _failure(task) else None)
    await asyncio.gather(*(server.serve([listener]) for server, listener in servers.items()))
    await _end(working)


async def _end(working: Sequence[asyncio.Future[None]]) -> None:
    """Cancel what still runs; raise what one of them failed with."""
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    for error in filter(None, map(_failure, working)):
        raise SlipwayError("control's own work failed") from error


def _failure(task: asyncio.Future[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


def _server(app: Any) -> _Server:  # noqa: ANN401 - an ASGI application
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return _Server(config)


def _unix_listener(path: Path) -> socket.socket:
    """A listening socket, in place of a stale one; mode 0600."""
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
    journal.append(event, None, _nothing, lambda: logger.error("no event of %s could be kept", event.verb))


def _nothing() -> None:
    pass
