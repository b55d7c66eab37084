"""The host's side of zygotes: starts them, asks them for workers, hears of their ends."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slipway.workers.processes import WorkerProcess
from slipway.workers.sandbox import kill_tree, launch, worker_environment

_MODULE = "slipway.workers.runtimes.python.zygote"
_FORK_SECONDS = 60.0  # importing what is missing comes first
_IMPORT_BYTES = 32 * 1024  # of names in one message
_CREDENTIALS = struct.Struct("3i")


class CannotFork(Exception):
    """This zygote has threads, or hangs: its environment's workers start fresh."""


class ZygoteLost(Exception):
    """The zygote died before it answered, or could not fork just now."""


class Zygote:
    """One zygote process. `on_lost` is called once, when it has ended by itself; its workers are dead then."""

    def __init__(self, interpreter: str, runtime: Path, log: int, on_lost: Callable[[], None]) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        near.setblocking(False)
        try:
            with far:
                self._process = launch(
                    [interpreter, "-m", _MODULE],
                    directory=runtime,
                    environment=worker_environment(runtime),
                    descriptors={3: far.fileno(), 1: log, 2: log},
                )
        except OSError:
            near.close()
            raise
        self._near, self._on_lost = near, on_lost
        self._asked: dict[str, tuple[WorkerProcess, asyncio.Future[None]]] = {}
        self._workers: dict[int, WorkerProcess] = {}
        self._imported: set[str] = set()
        self.idle_since: float | None = time.monotonic()  # None while it has workers
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(near.fileno(), self._readable)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def preload(self, modules: list[str]) -> None:
        """Have it import what it does not have yet."""
        missing = [name for name in modules if name not in self._imported]
        self._imported.update(missing)
        while missing:
            batch, missing = _split(missing)
            try:
                self._near.send(json.dumps({"import": batch}).encode())
            except OSError:
                return  # it starts colder then, or is dead, and that is noticed elsewhere

    async def fork(self, name: str, process: WorkerProcess, connection: socket.socket, log: int) -> None:
        """Fork a worker; the kernel tells `process` its pid. Raises CannotFork or ZygoteLost."""
        self.idle_since = None
        answer = self._loop.create_future()
        self._asked[name] = process, answer
        try:
            message = json.dumps({"fork": name}).encode()
            socket.send_fds(self._near, [message], [connection.fileno(), log])
            await asyncio.wait_for(answer, _FORK_SECONDS)
        except TimeoutError as error:
            raise CannotFork("its packages take too long to import") from error
        except OSError as error:
            raise ZygoteLost(str(error)) from error
        finally:
            self._asked.pop(name, None)
            self._note_idleness()

    def stop(self) -> None:
        """Kill it; its workers die with it."""
        self._loop.remove_reader(self._near.fileno())
        self._near.close()
        kill_tree(self._process.pid)
        self._process.wait()
        for _, answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ZygoteLost("the zygote ended"))
        workers, self._workers = self._workers, {}
        for process in workers.values():
            # Nobody is left to report them; killed once more in case one has not asked to die with its parent.
            process.kill()
            process.exited(9, 0)

    def _readable(self) -> None:
        try:
            data, ancillary, _, _ = self._near.recvmsg(64 * 1024, socket.CMSG_SPACE(_CREDENTIALS.size))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.stop()
            self._on_lost()
            return
        self._handle(json.loads(data), ancillary)

    def _handle(self, message: dict[str, Any], ancillary: list[tuple[int, int, bytes]]) -> None:
        if "ended" in message:
            process = self._workers.pop(message["ended"], None)
            if process is not None:
                process.exited(message["status"], message["peak"])
            self._note_idleness()
        elif "born" in message:
            self._born(message["born"], _sender(ancillary))
        elif "refused" in message and (asked := self._asked.get(message["refused"])):
            if not asked[1].done():
                refusal = CannotFork if "threads" in message else ZygoteLost
                asked[1].set_exception(refusal(message["reason"]))

    def _note_idleness(self) -> None:
        if not self._workers and not self._asked and self.idle_since is None:
            self.idle_since = time.monotonic()

    def _born(self, name: str, pid: int) -> None:
        asked = self._asked.get(name)
        if asked is None or asked[1].done():
            # Whoever asked has given up.
            kill_tree(pid)
            return
        process, answer = asked
        self._workers[pid] = process
        process.born(pid)
        answer.set_result(None)


def _split(modules: list[str]) -> tuple[list[str], list[str]]:
    """As many names as one message holds, and the rest."""
    size = 0
    for count, name in enumerate(modules):
        size += len(name) + 4
        if size > _IMPORT_BYTES and count:
            return modules[:count], modules[count:]
    return modules, []


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return int(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0])
    raise OSError("no credentials came with the message")
