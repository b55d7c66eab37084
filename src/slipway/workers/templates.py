"""Templates: processes that have loaded a version and take no call. What they fork is ready at once and shares the
model's pages with them."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator

from slipway.ids import new_id
from slipway.types import AlgorithmFailure, Version
from slipway.workers.backoff import BackOff
from slipway.workers.callouts import ControlDoor
from slipway.workers.conversation import Conversation
from slipway.workers.forkers import CannotFork, Forker, ZygoteLost
from slipway.workers.nursery import Nursery
from slipway.workers.processes import WorkerProcess
from slipway.workers.replicas import HostedReplica, LoadFailed
from slipway.workers.room import NoRoom, Room

_FORK_SECONDS = 10.0
_SLOW_SECONDS = 0.25  # a version that loads for longer has a template from its first replica on

logger = logging.getLogger(__name__)


class Template(Forker):
    """One of them: a worker like any other until it is loaded, then a parent of workers."""

    hangs = "the loaded process does not answer"

    def __init__(self, replica: HostedReplica, near: socket.socket, on_lost: Callable[[], None]) -> None:
        super().__init__(near, _FORK_SECONDS, on_lost)
        self.replica = replica

    @property
    def key(self) -> str:
        """Under which its memory is counted."""
        return f"template {self.replica.version.id}"

    def stop(self) -> None:
        """Kill it; its workers die with it."""
        self.replica.process.kill()
        self.replica.talk.close()
        self.close()


class Templates:
    """Those of this host, at most one a version. A version that cannot have one does without."""

    def __init__(self, nursery: Nursery, control: ControlDoor, room: Room) -> None:
        self._nursery, self._control, self._room = nursery, control, room
        self._templates: dict[str, Template] = {}  # by version id, loaded
        self._making: dict[str, asyncio.Task[Template]] = {}
        self._waiting: Counter[str] = Counter()  # for one that is being made
        self._unfit: set[str] = set()  # versions whose loaded process cannot be forked
        self._failures = BackOff(1.0, 300.0)
        self._load_seconds: dict[str, float] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._templates)

    async def wanted(self, version: Version, others: bool) -> Template | None:
        """What to fork a replica from, where that is proven for the version and worth its memory: beside `others`, or
        where loading takes long. None: load it in a process of its own."""
        if version.start.mode != "loaded" or version.id in self._unfit:
            return None
        template = self._templates.get(version.id)
        seconds = self._load_seconds.get(version.id, version.start.load_seconds)
        if template is not None or not (others or seconds > _SLOW_SECONDS) or self._failures.remaining(version.id):
            return template
        try:
            return await self.make(version)
        except (CannotFork, ZygoteLost, LoadFailed, NoRoom, OSError) as error:
            self.failed(version, error)
            return None

    async def make(self, version: Version) -> Template:
        """The version's template, whoever asked for it first. Raises CannotFork, ZygoteLost, LoadFailed, NoRoom,
        OSError."""
        if (template := self._templates.get(version.id)) is not None:
            return template
        task = self._making.get(version.id)
        if task is None:
            task = self._making[version.id] = asyncio.get_running_loop().create_task(self._make(version))
            task.add_done_callback(lambda _task: self._making.pop(version.id, None))
        self._waiting[version.id] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[version.id] -= 1
            if not self._waiting[version.id]:
                del self._waiting[version.id]
                task.cancel()  # nobody waits for it any more, or it is done

    def failed(self, version: Version, error: Exception) -> None:
        """No replica came of it: do without for a while, or for good."""
        logger.warning("version %s has no template: %s", version.id, error)
        if isinstance(error, CannotFork):
            self._unfit.add(version.id)
        self._failures.failed(version.id, AlgorithmFailure(error_type="SystemError", message=str(error)))
        if (template := self._templates.get(version.id)) is not None and template.idle_since is not None:
            self.drop(template)

    def loaded(self, version: Version, seconds: float) -> None:
        """Loading the version took so long, its packages imported already."""
        self._load_seconds[version.id] = seconds

    def drop(self, template: Template) -> None:
        """End one."""
        self._templates.pop(template.replica.version.id, None)
        self._room.leaving(template.key)
        template.stop()

    def idle(self) -> Iterator[tuple[float, str, Callable[[], None]]]:
        """Those without workers: since when, under which key their memory is counted, and how to end them."""
        for template in self._templates.values():
            if template.idle_since is not None:
                yield template.idle_since, template.key, lambda template=template: self.drop(template)  # type: ignore[misc]

    def stop(self) -> None:
        """Kill all."""
        for task in list(self._making.values()):
            task.cancel()
        for template in list(self._templates.values()):
            self.drop(template)

    async def _make(self, version: Version) -> Template:
        started = time.monotonic()
        key = f"template {version.id}"
        await self._room.claim(key, self._room.supposed(version, fresh=False))
        process = WorkerProcess(lambda: self._room.left(key))
        try:
            connection, channel = await self._nursery.start_template(version, new_id(), process)
        except BaseException:
            self._room.left(key)
            raise
        replica = HostedReplica(new_id(), version, process, Conversation(connection), self._control)
        template = Template(replica, channel, lambda: self._lost(version))
        try:
            await replica.load(started)
        except BaseException:
            template.stop()
            raise
        replica.talk.close()
        self._nursery.learned(version, replica.modules)
        self._room.settled(key, process.pid, forks=True)
        self._templates[version.id] = template
        return template

    def _lost(self, version: Version) -> None:
        logger.warning("the template of version %s ended", version.id)
        self._templates.pop(version.id, None)
