"""The sandboxes of this host's owners: made at the first need, ended when nothing has run in them for long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from slipway.settings import Settings
from slipway.types import Resources
from slipway.workers.forkers import Forker, Into
from slipway.workers.processes import WorkerProcess
from slipway.workers.runtimes.python import kernel
from slipway.workers.sandbox.groups import Groups
from slipway.workers.sandbox.launching import launch, worker_environment
from slipway.workers.sandbox.levels import Level, has_users
from slipway.workers.sandbox.refusals import OnRefusal, Refusals

_ZYGOTE = "slipway.workers.runtimes.python.zygote"
_SPAWN_SECONDS = 30.0
_FIRST_USER, _MOST_USERS = 200_000, 1_000_000  # uids that no account of the machine has
_TMP_FILES = 16_384

logger = logging.getLogger(__name__)


class Spawner(Forker):
    """A process with all the host's privileges and one thread: it runs commands in sandboxes, and makes these."""

    hangs = "the spawner does not answer"

    def __init__(self, runtime: Path, on_lost: Callable[[], None], apart: bool) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            self._process = launch(
                [sys.executable, "-S", "-m", _ZYGOTE, "slipway-spawner", *(["apart"] if apart else [])],
                directory=runtime,
                environment=worker_environment(runtime),
                descriptors={3: far.fileno()},
            )
        super().__init__(near, _SPAWN_SECONDS, on_lost)

    def stop(self) -> None:
        """Kill it; what it has started dies with it."""
        self._process.kill()
        self._process.wait()
        self.close()

    async def run(
        self,
        name: str,
        process: WorkerProcess,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        descriptors: Mapping[int, int],
        into: Into,
        niceness: int = 0,
    ) -> None:
        """Run a command; `descriptors` maps numbers there to descriptors here. Raises ZygoteLost, OSError, CannotFork.

        One that cannot be executed says why on its standard error and exits with 127.
        """
        message = {
            "run": name,
            "command": list(command),
            "directory": str(directory),
            "environment": dict(environment),
            "numbers": list(descriptors),
            "niceness": niceness,
        }
        await self.bear(message, process, list(descriptors.values()), None, into)


class Sandbox:
    """One owner's. `space` is its first process's pidfd; -1 where the level has no spaces."""

    def __init__(self, owner: str, user: int | None, process: WorkerProcess | None, space: int) -> None:
        self.owner, self.user, self.process, self.space = owner, user, process, space
        self.users = 0  # processes in it, and those that are about to be
        self.idle_since = time.monotonic()

    def entered(self) -> None:
        """One more process."""
        self.users += 1

    def left(self) -> None:
        """One less."""
        self.users -= 1
        self.idle_since = time.monotonic()

    def kill_orphans(self) -> None:
        """End what has lost its parent there, and so became a child of the first process: nobody answers for it."""
        if self.process is None or not self.process.lives:
            return
        with contextlib.suppress(OSError):
            pid = self.process.pid
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)

    def close(self) -> None:
        """End it, and all that is in it."""
        if self.process is not None:
            self.process.kill()
        if self.space >= 0:
            os.close(self.space)
            self.space = -1


class Entrance(NamedTuple):
    """A way into a sandbox for one process; the descriptors are open as long as the entrance is."""

    sandbox: Sandbox
    groups: tuple[int, ...]
    plan: dict[str, Any]

    def into(self, read: Sequence[str], write: Sequence[str] = (), network: bool = False) -> Into:
        """For a process that comes from outside, to see those directories, and to change others.

        `network`: it has the machine's.
        """
        if not self.plan:
            return self.within()
        more = {"read": _outermost(read), "write": list(write), "network": network}
        return Into({**self.plan, **more}, self.sandbox.space, self.groups)

    def within(self) -> Into:
        """For one whose parent is in it already."""
        return Into({"within": True} if self.plan else {}, groups=self.groups)


class Sandboxes:
    """Those of this host, by owner. `on_refusal` hears of what they refuse, under the names of replicas."""

    def __init__(self, settings: Settings, level: Level, runtime: Path, on_refusal: OnRefusal) -> None:
        self.level = level
        self.groups = Groups() if level != "none" else None
        self._settings, self._runtime = settings, runtime
        self._refusals = Refusals(on_refusal)
        self._spawner: Spawner | None = None
        self._sandboxes: dict[str, Sandbox] = {}
        self._making: dict[str, asyncio.Task[Sandbox]] = {}
        self._users: dict[str, int] = {}  # by owner; nobody has an earlier one's
        self._root = Path(tempfile.mkdtemp(prefix="sandbox-", dir=settings.run_directory))

    @property
    def spawner(self) -> Spawner:
        """The process that starts others in sandboxes."""
        if self._spawner is None:
            self._spawner = Spawner(self._runtime, self._lost, self.level == "namespaces" and not has_users())
            self._spawner.on_listener = self.listen
        return self._spawner

    def listen(self, name: str, descriptor: int) -> None:
        """Answer for system calls that are refused to that replica."""
        self._refusals.listen(name, descriptor)

    async def of(self, owner: str) -> Sandbox:
        """That owner's. Raises ZygoteLost, OSError, CannotFork."""
        if (sandbox := self._sandboxes.get(owner)) is not None:
            return sandbox
        task = self._making.get(owner)
        if task is None:
            task = self._making[owner] = asyncio.get_running_loop().create_task(self._make(owner))
            task.add_done_callback(lambda _task: self._making.pop(owner, None))
        return await asyncio.shield(task)

    @contextlib.asynccontextmanager
    async def entrance(
        self, owner: str, name: str, process: WorkerProcess, resources: Resources
    ) -> AsyncIterator[Entrance]:
        """A way in for one process, which is about to be born. Raises ZygoteLost, OSError, CannotFork."""
        sandbox = await self.of(owner)
        sandbox.entered()
        process.when_ended(lambda: self._left(sandbox, name, process))
        groups: tuple[int, ...] = ()
        try:
            if self.groups is not None:
                most = self._settings.sandbox_processes
                groups = self.groups.make(name, resources.memory_bytes, resources.cpu, most)
            yield Entrance(sandbox, groups, self._plan(sandbox))
        finally:
            for descriptor in groups:
                os.close(descriptor)
            if not process.pid:
                self._left(sandbox, name, process)

    async def show(self, sandbox: Sandbox, pid: int, path: str) -> None:
        """Let that process in the sandbox, and those forked from it, see one more directory.

        Raises OSError, ZygoteLost, CannotFork.
        """
        if sandbox.space < 0:
            return
        process = WorkerProcess(lambda: None)
        inside = kernel.pidfd_open(pid)
        try:
            message = {"show": f"{path} to {pid}", "paths": [path]}
            await self.spawner.bear(message, process, (sandbox.space, inside))
        finally:
            os.close(inside)
        await process.ended.wait()
        if process.status:
            raise OSError(f"{path} could not be shown in the sandbox of {sandbox.owner}")

    def idle(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """Those in which nothing runs: since when, and how to end them."""
        for owner, sandbox in list(self._sandboxes.items()):
            if not sandbox.users and sandbox.process is not None:
                yield sandbox.idle_since, lambda owner=owner: self._drop(owner)  # type: ignore[misc]

    def stop(self) -> None:
        """End all."""
        for task in self._making.values():
            task.cancel()
        for owner in list(self._sandboxes):
            self._drop(owner)
        self._refusals.close()
        if self._spawner is not None:
            self._spawner.stop()
        if self.groups is not None:
            self.groups.close()
        self._root.rmdir()

    async def _make(self, owner: str) -> Sandbox:
        if self.level != "namespaces":
            sandbox = self._sandboxes[owner] = Sandbox(owner, None, None, -1)
            return sandbox
        user = self._users.setdefault(owner, _FIRST_USER + len(self._users) % _MOST_USERS) if has_users() else None
        process = WorkerProcess(lambda: self._ended(owner))
        plan = {"root": str(self._root), "read": [], "user": user or 0}
        await self.spawner.bear({"found": f"space of {owner}"}, process, (), None, Into(plan))
        sandbox = self._sandboxes[owner] = Sandbox(owner, user, process, kernel.pidfd_open(process.pid))
        return sandbox

    def _plan(self, sandbox: Sandbox) -> dict[str, Any]:
        if self.level == "none":
            return {}
        return {
            "user": sandbox.user,
            "tmp_bytes": self._settings.sandbox_tmp_bytes,
            "tmp_files": _TMP_FILES,
            "walls": True,
            "listen": True,
        }

    def _left(self, sandbox: Sandbox, name: str, process: WorkerProcess) -> None:
        sandbox.left()
        if self.groups is not None:
            process.refused = self.groups.refused(name)
            asyncio.get_running_loop().run_in_executor(None, self.groups.remove, name)
            if not self.groups.limits:
                sandbox.kill_orphans()

    def _drop(self, owner: str) -> None:
        self._sandboxes.pop(owner).close()

    def _ended(self, owner: str) -> None:
        if (sandbox := self._sandboxes.pop(owner, None)) is not None:
            sandbox.close()

    def _lost(self) -> None:
        logger.error("the spawner ended, and all sandboxes with it")
        self._spawner = None


def _outermost(paths: Sequence[str]) -> list[str]:
    """Without those that lie in others, or where every sandbox sees them."""
    found: list[str] = []
    for path in sorted(set(paths)):
        if not any(path == one or path.startswith(f"{one}/") for one in (*found, "/usr")):
            found.append(path)
    return found
