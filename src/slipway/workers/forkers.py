"""The host's side of processes that fork others: asks them for children, hears of their births and ends."""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from slipway.workers.processes import WorkerProcess
from slipway.workers.sandbox.launching import kill_tree

logger = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("3i")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4)


class Into(msgspec.Struct, frozen=True):
    """Where a child goes to before it does anything. The descriptors stay their owner's to close."""

    plan: dict[str, Any] = {}  # of its sandbox; empty: it has its parent's
    space: int = -1  # whose space it joins, as a pidfd; -1: none
    groups: tuple[int, ...] = ()  # by which it joins its control groups


class CannotFork(Exception):
    """This process has threads, or hangs: nothing is ever forked from it."""


class ZygoteLost(Exception):
    """The zygote died before it answered, or could not fork just now."""


HERE = Into()  # its parent's sandbox and control groups


class Forker:
    """The host's end of a channel to a process that forks workers. `on_lost` is called once, when that has ended by
    itself; its workers are dead then."""

    hangs = "importing its packages takes too long"  # what it means when it does not answer

    def __init__(self, near: socket.socket, fork_seconds: float, on_lost: Callable[[], None]) -> None:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        near.setblocking(False)
        self._near, self._fork_seconds, self._on_lost = near, fork_seconds, on_lost
        self.on_listener: Callable[[str, int], None] | None = None  # takes a child's name and a descriptor
        self._asked: dict[str, tuple[WorkerProcess, int | None, asyncio.Future[None]]] = {}
        self._children: dict[str, WorkerProcess] = {}
        self._holds = 0
        self.idle_since: float | None = time.monotonic()  # None while it has workers, or is held
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(near.fileno(), self._readable)

    async def fork(
        self,
        name: str,
        process: WorkerProcess,
        descriptors: Sequence[int],
        baseline_bytes: int | None = None,
        into: Into = HERE,
    ) -> None:
        """Fork a worker; the kernel tells `process` its pid. Raises CannotFork, ZygoteLost, or OSError of the fork.

        `descriptors` are the worker's socket and log; a channel beside them makes it a template. `baseline_bytes` is
        what its memory is counted from, where that is not all that it is born with.
        """
        await self.bear({"fork": name}, process, descriptors, baseline_bytes, into)

    async def bear(
        self,
        message: dict[str, Any],
        process: WorkerProcess,
        descriptors: Sequence[int],
        baseline_bytes: int | None = None,
        into: Into = HERE,
    ) -> None:
        """Have a child as a message of the zygote's protocol says, whose first key holds its name. Raises as `fork`."""
        name = next(iter(message.values()))
        answer = self._loop.create_future()
        self._asked[name] = process, baseline_bytes, answer
        with self.held():
            try:
                self._send_request(message, descriptors, into)
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
        children, self._children = self._children, {}
        for process in children.values():
            # Nobody is left to report them; killed once more in case one has not asked to die with its parent.
            process.kill()
            process.exited(9, 0)

    def stop(self) -> None:
        """Kill it; its workers die with it."""
        raise NotImplementedError

    def _send_request(self, message: dict[str, Any], descriptors: Sequence[int], into: Into) -> None:
        more = {"plan": into.plan, "joins": into.space >= 0, "groups": len(into.groups)}
        space = [into.space] if into.space >= 0 else []
        try:
            data = json.dumps({**message, **more}).encode()
            socket.send_fds(self._near, [data], [*descriptors, *space, *into.groups])
        except OSError as error:
            raise ZygoteLost(str(error)) from error

    def _readable(self) -> None:
        try:
            data, ancillary, _, _ = self._near.recvmsg(64 * 1024, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        message, descriptors = _decoded(data), _descriptors(ancillary)
        try:
            if message is not None:
                self._handle(message, ancillary)
                self._listen(message.get("born"), descriptors)
                return
        except (KeyError, TypeError):
            logger.warning("a process that forks others has said what is no message: %r", data[:200])
        _close_all(descriptors)
        self.stop()
        self._on_lost()

    def _handle(self, message: dict[str, Any], ancillary: list[tuple[int, int, bytes]]) -> None:
        if "ended" in message:
            process = self._children.pop(message["ended"], None)
            if process is not None:
                process.exited(message["status"], message["peak"])
            self._note_idleness()
        elif "born" in message:
            self._born(message["born"], _sender(ancillary))
        elif "refused" in message and (asked := self._asked.get(message["refused"])):
            if not asked[-1].done():
                asked[-1].set_exception(_refusal(message))

    def _listen(self, name: str | None, descriptors: list[int]) -> None:
        """Descriptors that came with a message: one with the birth of a child; any other is closed."""
        if name in self._children and self.on_listener is not None and len(descriptors) == 1:
            self.on_listener(name, descriptors[0])
        else:
            _close_all(descriptors)

    def _note_idleness(self) -> None:
        if not self._children and not self._holds and self.idle_since is None:
            self.idle_since = time.monotonic()

    def _born(self, name: str, pid: int) -> None:
        asked = self._asked.get(name)
        if asked is None or asked[-1].done():
            # Whoever asked has given up.
            kill_tree(pid)
            return
        process, baseline_bytes, answer = asked
        self._children[name] = process
        process.born(pid, baseline_bytes)
        answer.set_result(None)


def _refusal(message: dict[str, Any]) -> Exception:
    if "never" in message:
        return CannotFork(message["reason"])
    # The kernel has no room for one more process: nor would it have for a fresh one.
    return OSError(message["errno"], message["reason"])


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return int(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0])
    raise OSError("no credentials came with the message")


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)


def _decoded(data: bytes) -> dict[str, Any] | None:
    """A message; None at the end, and for what is none: the process runs code that need not be well-behaved."""
    try:
        message = json.loads(data)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
