"""The host's side of zygotes: starts them, asks them for workers, hears of their ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from slipway.workers.processes import WorkerProcess
from slipway.workers.sandbox import kill_tree, launch, worker_environment

_MODULE = "slipway.workers.runtimes.python.zygote"
_FORK_SECONDS = 60.0  # importing what is missing comes first
_IMPORT_BYTES = 32 * 1024  # of names in one message
_CREDENTIALS = struct.Struct("3i")


class CannotFork(Exception):
    """This process has threads, or hangs: nothing is ever forked from it."""


class ZygoteLost(Exception):
    """The zygote died before it answered, or could not fork just now."""


class Forker:
    """The host's end of a channel to a process that forks workers. `on_lost` is called once, when that has ended by
    itself; its workers are dead then."""

    hangs = "importing its packages takes too long"  # what it means when it does not answer

    def __init__(self, near: socket.socket, fork_seconds: float, on_lost: Callable[[], None]) -> None:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        near.setblocking(False)
        self._near, self._fork_seconds, self._on_lost = near, fork_seconds, on_lost
        self._asked: dict[str, tuple[WorkerProcess, int | None, asyncio.Future[None]]] = {}
        self._workers: dict[int, WorkerProcess] = {}
        self._holds = 0
        self.idle_since: float | None = time.monotonic()  # None while it has workers, or is held
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(near.fileno(), self._readable)

    async def fork(
        self, name: str, process: WorkerProcess, descriptors: Sequence[int], baseline_bytes: int | None = None
    ) -> None:
        """Fork a worker; the kernel tells `process` its pid. Raises CannotFork, ZygoteLost, or OSError of the fork.

        `descriptors` are the worker's socket and log; a channel beside them makes it a template. `baseline_bytes` is
        what its memory is counted from, where that is not all that it is born with.
        """
        answer = self._loop.create_future()
        self._asked[name] = process, baseline_bytes, answer
        with self.held():
            try:
                self._send_request(name, descriptors)
                await asyncio.wait_for(answer, self._fork_seconds)
            except TimeoutError as error:
                raise CannotFork(self.hangs) from error
            finally:
                self._asked.pop(name, None)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """It is about to be forked from: not idle."""
        self._holds += 1
        self.idle_since = None
        try:
            yield
        finally:
            self._holds -= 1
            self._note_idleness()

    def close(self) -> None:
        """It is dead, or about to be killed: so are its workers."""
        if self._near.fileno() < 0:
            return
        self._loop.remove_reader(self._near.fileno())
        self._near.close()
        for _, _, answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ZygoteLost("the zygote ended"))
        workers, self._workers = self._workers, {}
        for process in workers.values():
            # Nobody is left to report them; killed once more in case one has not asked to die with its parent.
            process.kill()
            process.exited(9, 0)

    def stop(self) -> None:
        """Kill it; its workers die with it."""
        raise NotImplementedError

    def _send_request(self, name: str, descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self._near, [json.dumps({"fork": name}).encode()], list(descriptors))
        except OSError as error:
            raise ZygoteLost(str(error)) from error

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
            if not asked[-1].done():
                asked[-1].set_exception(_refusal(message))

    def _note_idleness(self) -> None:
        if not self._workers and not self._holds and self.idle_since is None:
            self.idle_since = time.monotonic()

    def _born(self, name: str, pid: int) -> None:
        asked = self._asked.get(name)
        if asked is None or asked[-1].done():
            # Whoever asked has given up.
            kill_tree(pid)
            return
        process, baseline_bytes, answer = asked
        self._workers[pid] = process
        process.born(pid, baseline_bytes)
        answer.set_result(None)


class Zygote(Forker):
    """The zygote of an environment: a process that this host has started."""

    def __init__(self, interpreter: str, runtime: Path, log: int, on_lost: Callable[[], None]) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
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
        super().__init__(near, _FORK_SECONDS, on_lost)
        self._asked_for: set[str] = set()  # modules
        self._importing = 0  # messages that it has not answered
        self._imported = asyncio.Event()
        self._imported.set()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def preload(self, modules: Iterable[str]) -> None:
        """Have it import what it does not have yet."""
        missing = [name for name in modules if name not in self._asked_for]
        self._asked_for.update(missing)
        while missing:
            batch, missing = _split(missing)
            try:
                self._near.send(json.dumps({"import": batch}).encode())
            except OSError:
                return  # it starts colder then, or is dead, and that is noticed elsewhere
            self._importing += 1
            self._imported.clear()

    async def imported(self) -> None:
        """Wait until it has imported what it was asked to. Raises CannotFork, ZygoteLost."""
        try:
            await asyncio.wait_for(self._imported.wait(), self._fork_seconds)
        except TimeoutError as error:
            raise CannotFork(self.hangs) from error
        if self._near.fileno() < 0:
            raise ZygoteLost("the zygote ended while it imported its packages")

    def close(self) -> None:
        """It is dead, or about to be killed: so are its workers."""
        super().close()
        self._imported.set()

    def stop(self) -> None:
        """Kill it; its workers die with it."""
        kill_tree(self._process.pid)
        self._process.wait()
        self.close()

    def _handle(self, message: dict[str, Any], ancillary: list[tuple[int, int, bytes]]) -> None:
        if "imported" not in message:
            super()._handle(message, ancillary)
            return
        self._importing -= 1
        if not self._importing:
            self._imported.set()


def _refusal(message: dict[str, Any]) -> Exception:
    if "never" in message:
        return CannotFork(message["reason"])
    # The kernel has no room for one more process: nor would it have for a fresh one.
    return OSError(message["errno"], message["reason"])


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
