"""The host's side of zygotes: starts them, asks them for workers, hears of their ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slipway.workers.sandbox import kill_group, launch, worker_environment

_MODULE = "slipway.workers.runtimes.python.zygote"
_FORK_SECONDS = 60.0  # importing what is missing comes first
_CREDENTIALS = struct.Struct("3i")

Ended = Callable[[int, int, int], None]  # pid, wait status, peak memory in bytes


class CannotFork(Exception):
    """This zygote has threads: its environment's workers start fresh."""


class ZygoteLost(Exception):
    """The zygote died before it answered."""


class Zygote:
    """One zygote process. `on_end` hears of every worker of it that ends; `on_lost` that it is gone itself."""

    def __init__(self, interpreter: str, runtime: Path, log: Path, on_end: Ended, on_lost: Callable[[], None]) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        near.setblocking(False)
        with log.open("ab") as output, far:
            descriptors = {3: far.fileno(), 1: output.fileno(), 2: output.fileno()}
            command = [interpreter, "-m", _MODULE]
            self._process = launch(
                command, directory=runtime, environment=worker_environment(runtime), descriptors=descriptors
            )
        self._near, self._on_end, self._on_lost = near, on_end, on_lost
        self._born: dict[str, asyncio.Future[int]] = {}
        self._imported: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(near.fileno(), self._readable)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def preload(self, modules: list[str]) -> None:
        """Have it import what it does not have yet."""
        missing = [name for name in modules if name not in self._imported]
        if missing:
            self._imported.update(missing)
            self._near.send(json.dumps({"import": missing}).encode())

    async def fork(self, replica: str, connection: socket.socket, log: int) -> int:
        """A worker's pid, as the kernel tells it. Raises CannotFork or ZygoteLost."""
        born = self._born[replica] = self._loop.create_future()
        try:
            message = json.dumps({"fork": replica}).encode()
            socket.send_fds(self._near, [message], [connection.fileno(), log])
            return await asyncio.wait_for(born, _FORK_SECONDS)
        except (OSError, TimeoutError) as error:
            raise ZygoteLost(str(error)) from error
        finally:
            self._born.pop(replica, None)

    def stop(self) -> None:
        """Kill it; its workers die with it."""
        self._loop.remove_reader(self._near.fileno())
        self._near.close()
        kill_group(self._process.pid)
        self._process.wait()

    def _readable(self) -> None:
        try:
            data, ancillary, _, _ = self._near.recvmsg(64 * 1024, socket.CMSG_SPACE(_CREDENTIALS.size))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._handle(json.loads(data), ancillary)

    def _handle(self, message: dict[str, Any], ancillary: list[tuple[int, int, bytes]]) -> None:
        if "ended" in message:
            self._on_end(message["ended"], message["status"], message["peak"])
        elif "born" in message:
            if born := self._born.get(message["born"]):
                born.set_result(_sender(ancillary))
        elif "refused" in message and (born := self._born.get(message["refused"])):
            born.set_exception(CannotFork(message["reason"]))

    def _lost(self) -> None:
        self.stop()
        for born in self._born.values():
            if not born.done():
                born.set_exception(ZygoteLost("the zygote ended"))
        self._on_lost()


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return int(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0])
    raise OSError("no credentials came with the message")


def describe_exit(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"status {os.waitstatus_to_exitcode(status)}"
