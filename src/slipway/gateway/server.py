"""The gateway process: wires its parts, serves until told to stop, drains."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import time
from collections.abc import Iterator

import uvicorn

from slipway import live
from slipway.gateway.admission import Admission
from slipway.gateway.application import Application
from slipway.gateway.callouts import CallOuts
from slipway.gateway.directory import Directory
from slipway.gateway.dispatch import Dispatcher
from slipway.gateway.feed import follow_feed
from slipway.gateway.handover import Handover
from slipway.gateway.hosts import host_link
from slipway.gateway.invoke import Invoker
from slipway.gateway.peers import Peers
from slipway.gateway.protocol import GatewayProtocol, bound_protocol
from slipway.gateway.recorder import Recorder
from slipway.journal.writer import JournalWriter
from slipway.sdk.slices import SERVING_US, take_slices
from slipway.settings import Settings
from slipway.types import Snapshot

_KEEP_ALIVE_SECONDS = 75.0


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handling: it would end the process before the journal is closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        yield

    def stop(self) -> None:
        """Stop accepting, finish what is in flight, then end."""
        self.should_exit = True


async def run(settings: Settings, name: str, listener: socket.socket) -> None:
    """Serve on the inherited listening socket until SIGTERM; returns when every call in flight has its reply."""
    take_slices(SERVING_US)
    journal = _started_journal(settings, name)
    directory = Directory()
    admission = Admission(directory, settings, name)
    dispatcher = Dispatcher(name, settings)
    longest = max(settings.reply_limit_bytes, settings.body_limit_bytes)
    peers = Peers(settings.run_directory, name, dispatcher.submit, longest)
    host = host_link(settings.host_socket, name, dispatcher)
    handover = Handover(settings.internal_socket)
    invoker = Invoker(settings, admission, dispatcher, Recorder(journal, name), handover)
    call_outs = CallOuts(admission, invoker, settings.internal_socket, settings.reply_limit_bytes)
    dispatcher.connect(host, peers, call_outs)

    def apply(snapshot: Snapshot) -> None:
        if directory.apply(snapshot):
            admission.forget()
            reserved = directory.reserved()
            dispatcher.keep_warm(directory.always_warm(reserved), reserved)

    await peers.listen(dispatcher.submit_here, dispatcher.withdraw, dispatcher.grant, directory.version)
    host.start()
    feed = asyncio.ensure_future(follow_feed(settings.internal_socket, apply))
    application = Application(settings, invoker, lambda: directory.revision >= 0 and host.connected)

    def configure() -> None:
        for part in (invoker, application, dispatcher):
            part.configure(settings)

    live.on_change(configure)
    try:
        await _serve(application, bound_protocol(invoker, settings), settings, listener)
        await _drained(invoker, settings.drain_seconds)
    finally:
        feed.cancel()
        peers.close()
        host.stop()
        await application.close()
        await call_outs.close()
        await handover.close()
        journal.close()


def _started_journal(settings: Settings, name: str) -> JournalWriter:
    journal = JournalWriter(
        settings.journal_directory / name,
        name,
        segment_bytes=settings.journal_segment_bytes,
        payload_policy=settings.payload_policy,
        payload_limit_bytes=settings.payload_limit_bytes,
        payload_sample_rate=settings.payload_sample_rate,
    )
    journal.start(asyncio.get_running_loop())
    return journal


async def _serve(
    application: Application, protocol: type[GatewayProtocol], settings: Settings, listener: socket.socket
) -> None:
    config = uvicorn.Config(
        application,
        http=protocol,
        ws="none",
        loop="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=int(_KEEP_ALIVE_SECONDS),
        timeout_graceful_shutdown=int(settings.drain_seconds),
    )
    server = _Server(config)
    closing = asyncio.ensure_future(_close_idle(server))
    # What was made by now lives as long as the process: the collector need not look at it again.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        await server.serve([listener])
    finally:
        closing.cancel()


async def _drained(invoker: Invoker, seconds: float) -> None:
    """Until control has taken them, asynchronous calls are in flight too."""
    patience = time.monotonic() + seconds
    while invoker.in_flight and time.monotonic() < patience:
        await asyncio.sleep(0.02)


async def _close_idle(server: uvicorn.Server) -> None:
    """The short cut arms no timer a reply; connections that it left idle are closed here."""
    while True:
        await asyncio.sleep(5)
        stale = time.monotonic() - _KEEP_ALIVE_SECONDS
        for connection in list(server.server_state.connections):
            if isinstance(connection, GatewayProtocol) and 0 < connection.idle_since < stale:
                if connection.cycle is not None and connection.cycle.response_complete:
                    connection.transport.close()
