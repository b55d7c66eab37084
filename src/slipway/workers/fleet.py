"""All replicas of this host: how they start, what they may take, how they end."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from slipway.ids import new_id
from slipway.settings import Settings
from slipway.types import AlgorithmFailure, Version
from slipway.workers.callouts import ControlDoor
from slipway.workers.conversation import Conversation
from slipway.workers.ends import explain, over_limit, stopped
from slipway.workers.forkers import CannotFork, ZygoteLost
from slipway.workers.nursery import Nursery
from slipway.workers.processes import WorkerProcess, line_of
from slipway.workers.replicas import HostedReplica, LoadFailed
from slipway.workers.room import NoRoom, Room
from slipway.workers.runtimes.install import install_runtimes
from slipway.workers.sandbox.levels import Level
from slipway.workers.sandbox.sandboxes import Sandboxes
from slipway.workers.templates import Template, Templates
from slipway.workers.turns import Turns, processors

_TURN_SECONDS = 0.1  # several times what a start takes where only a model is loaded
_WATCHED_AT_ONCE = 64
_ROUND = 20  # of more, in how many looks all have had their turn
_NOTHING_LEFT = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})  # processes, memory, descriptors

# verb, resource (owner/name), outcome, detail
OnEvent = Callable[[str, str, str, dict[str, Any]], None]
OnExit = Callable[[HostedReplica, AlgorithmFailure], None]


class Fleet:
    """Every worker that lives, by replica id. `on_exit` hears of the end of each that had loaded."""

    def __init__(self, settings: Settings, level: Level, room: Room, on_event: OnEvent, on_exit: OnExit) -> None:
        control = ControlDoor(settings.internal_socket, settings.reply_limit_bytes)
        runtime = install_runtimes(settings.runtimes_directory)
        self.sandboxes = Sandboxes(settings, level, runtime, self._refused)
        self.nursery = Nursery(settings, room, self.sandboxes, runtime)
        self.templates = Templates(self.nursery, control, room)
        self.replicas: dict[str, HostedReplica] = {}
        self._room, self._control, self._on_event, self._on_exit = room, control, on_event, on_exit
        self._of_version: Counter[str] = Counter()  # those that live or are starting
        self._turns, self._crowd = Turns(processors(), _TURN_SECONDS), Turns(1, _TURN_SECONDS)
        self._ends = Turns(processors(), _TURN_SECONDS)
        self._watched: deque[str] = deque()  # whose memory is looked at next

    async def start(self, version: Version) -> HostedReplica:
        """A loaded replica. Raises LoadFailed, NoRoom. Cancelled, it leaves no process."""
        with self._counted(version) as others:
            started = time.monotonic()
            if (template := await self.templates.wanted(version, others)) is not None:
                try:
                    return await self._started(version, started, template)
                except (CannotFork, ZygoteLost, LoadFailed, OSError) as error:
                    self.templates.failed(version, error)
            return await self._started(version, started)

    async def start_from(self, template: Template) -> HostedReplica:
        """A replica that was forked from the template. Raises CannotFork, ZygoteLost, LoadFailed, NoRoom, OSError."""
        with self._counted(template.replica.version):
            return await self._started(template.replica.version, time.monotonic(), template)

    def kill(self, replica: HostedReplica, why: AlgorithmFailure | None = None) -> None:
        """End a replica at once. Its calls, if it has any, are answered with `why`, or with how it exited."""
        replica.doom = replica.doom or why
        self._room.leaving(replica.id)
        replica.process.kill()

    async def retire(self, replica: HostedReplica, why: AlgorithmFailure) -> None:
        """End a replica that nobody uses, in its turn: taking a process apart keeps the kernel busy for some
        milliseconds, and of a few dozen at once everybody else would notice."""
        self._room.leaving(replica.id)
        async with self._ends.one():
            self.kill(replica, why)
            await replica.process.ended.wait()

    def enforce_memory(self) -> None:
        """End replicas that hold more than they may; of many, some are looked at each time, in turn."""
        for _ in range(min(len(self._watched), max(_WATCHED_AT_ONCE, len(self._watched) // _ROUND))):
            replica = self.replicas.get(self._watched.popleft())
            if replica is None:
                continue
            self._watched.append(replica.id)
            limit = replica.version.resources.memory_bytes
            if replica.doom is None and replica.process.exceeds(limit):
                self.kill(replica, over_limit(limit))

    def known_as(self, key: str) -> str:
        """What the memory of the process with that key is remembered for: replicas of one version are alike."""
        replica = self.replicas.get(key)
        return replica.version.id if replica else key

    def stop(self) -> None:
        """Kill everything."""
        for replica in list(self.replicas.values()):
            self.kill(replica, stopped("its host ended"))
        self.templates.stop()
        self.nursery.stop()

    @contextlib.contextmanager
    def _counted(self, version: Version) -> Iterator[bool]:
        """Whether the version has others, that live or are starting."""
        others = self._of_version[version.id] > 0
        self._of_version[version.id] += 1
        try:
            yield others
        except BaseException:
            self._uncount(version)
            raise

    def _uncount(self, version: Version) -> None:
        self._of_version[version.id] -= 1
        if not self._of_version[version.id]:
            del self._of_version[version.id]

    async def _started(self, version: Version, started: float, template: Template | None = None) -> HostedReplica:
        try:
            replica = await self._in_turn(version, started, template)
        except LoadFailed as error:
            detail = {"version": version.id, "reason": str(error)[:2000], "error_type": error.failure.error_type}
            self._on_event("replica.start", _resource(version), "failed", detail)
            raise
        if template is None:
            self.nursery.learned(version, replica.modules)
            self.templates.loaded(version, replica.load_seconds)
        detail = {"version": version.id, "replica": replica.id, "way": replica.way}
        detail["seconds"] = f"{replica.cold_start_seconds:.3f}"
        self._on_event("replica.start", _resource(version), "done", detail)
        return replica

    async def _in_turn(self, version: Version, started: float, template: Template | None) -> HostedReplica:
        async with contextlib.AsyncExitStack() as stack:
            if template is None and await self.nursery.prepare(version):
                # The crowd that has waited for a zygote goes one by one, among those that come now.
                await stack.enter_async_context(self._crowd.one())
            await stack.enter_async_context(self._turns.one())
            return await self._loaded(version, started, template)

    async def _loaded(self, version: Version, started: float, template: Template | None) -> HostedReplica:
        replica = await self._born(version, template)
        try:
            await replica.load(started)
        finally:
            if replica.state == "starting":
                self.kill(replica)
        forked = template is None and not replica.process.fresh
        self._room.settled(replica.id, replica.process.pid, replica.process.baseline_bytes if forked else None)
        self._watched.append(replica.id)
        return replica

    async def _born(self, version: Version, template: Template | None) -> HostedReplica:
        name = new_id()
        process = WorkerProcess(lambda: self._exited(name))
        with template.held() if template else self.nursery.held(version):
            await self._room.claim(name, self.nursery.supposed_bytes(version))
            try:
                connection = await self._forked_or_fresh(version, name, process, template)
            except BaseException:
                self._room.left(name)
                raise
        replica = self.replicas[name] = HostedReplica(name, version, process, Conversation(connection), self._control)
        replica.way = "fresh" if process.fresh else ("loaded" if template else "environment")
        self._room.note(name, self._room.supposed(version, process.fresh))
        if process.ended.is_set():
            self._exited(name)
        return replica

    async def _forked_or_fresh(
        self, version: Version, name: str, process: WorkerProcess, template: Template | None
    ) -> socket.socket:
        if template is not None:
            return await self.nursery.start(version, name, process, template, template.replica.process.baseline_bytes)
        try:
            return await self.nursery.start(version, name, process)
        except OSError as error:
            if error.errno in _NOTHING_LEFT:
                raise NoRoom(f"the kernel has no room for one more worker: {error.strerror}") from error
            message = f"no worker could be started: {error}"
            raise LoadFailed(AlgorithmFailure(error_type="LoadingError", message=message)) from error

    def _refused(self, name: str, pid: int, call: str) -> None:
        """A sandbox has refused a system call: to a replica, to what that has started, or to a zygote's import."""
        of_process = {replica.process.pid: replica for replica in self.replicas.values()}
        replica = next((of_process[one] for one in line_of(pid) if one in of_process), self.replicas.get(name))
        resource, who = (_resource(replica.version), replica.id) if replica else (name, "")
        self._on_event("sandbox.refuse", resource, "refused", {"replica": who, "call": call})

    def _exited(self, name: str) -> None:
        replica = self.replicas.pop(name, None)
        if replica is None:
            return
        self._room.left(name)
        replica.talk.close()
        if replica.state == "starting":
            return  # whoever waits for it to load reports the failure
        self._uncount(replica.version)
        why = replica.doom or explain(replica.process, replica.version.resources.memory_bytes)
        detail = {"version": replica.version.id, "replica": name, "reason": why.message, "error_type": why.error_type}
        self._on_event("replica.exit", _resource(replica.version), "done", detail)
        if refused := replica.process.refused:
            limits = {limit: str(count) for limit, count in refused.items()}
            self._on_event("sandbox.limit", _resource(replica.version), "refused", {"replica": name, **limits})
        self._on_exit(replica, why)


def _resource(version: Version) -> str:
    return f"{version.owner}/{version.algorithm}"
