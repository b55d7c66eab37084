"""Starts workers: from an environment's zygote where it can be forked, as fresh processes elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from slipway.ids import new_id
from slipway.settings import Settings
from slipway.types import Resources, Version
from slipway.workers.forkers import HERE, CannotFork, Forker, ZygoteLost
from slipway.workers.preload import known_modules, remember_modules
from slipway.workers.processes import WorkerProcess
from slipway.workers.room import Room
from slipway.workers.sandbox.launching import worker_environment
from slipway.workers.sandbox.sandboxes import Entrance, Sandbox, Sandboxes
from slipway.workers.turns import Turns, processors
from slipway.workers.zygotes import MODULE, Zygote

_WORKER = "slipway.workers.runtimes.python.worker"
_LOG_BYTES = 10 * 2**20
_ZYGOTE = Resources(cpu=float(processors()), memory_bytes=8 * 2**30)  # what an untrusted one may take
_MOST_LINKS = 20
_IMPORT_SECONDS = 5.0  # after which the next zygote begins to import, beside one that is not done

Place = tuple[str, str]  # environment and owner; no owner where it is trusted

logger = logging.getLogger(__name__)


class Nursery:
    """The zygotes of this host, and the way to a new process."""

    def __init__(self, settings: Settings, room: Room, sandboxes: Sandboxes, runtime: Path) -> None:
        self._environments, self._logs, self._room = settings.environments_directory, settings.logs_directory, room
        self.sandboxes, self._runtime = sandboxes, runtime
        self._zygotes: dict[Place, Zygote] = {}
        self._making: dict[Place, asyncio.Task[Zygote]] = {}
        # One after the other they are done sooner, and leave a processor to calls.
        self._imports = Turns(max(1, processors() // 2), _IMPORT_SECONDS)
        self._unforkable: dict[str, str] = {}  # environments, and why
        self._known: dict[str, dict[str, None]] = {}  # by environment: modules to import ahead, in their order
        self._logs.mkdir(parents=True, exist_ok=True)

    @property
    def zygotes(self) -> int:
        """How many there are."""
        return len(self._zygotes)

    def why_fresh(self, version: Version) -> str:
        """Why its replicas cannot be forked from a zygote; empty where they can, as far as is known."""
        if version.resources.cpu > 1:
            return f"it wants {version.resources.cpu:g} processors"
        return self._unforkable.get(version.environment, "")

    def supposed_bytes(self, version: Version) -> int:
        """What one more replica is likely to take."""
        return self._room.supposed(version, fresh=bool(self.why_fresh(version)))

    async def prepare(self, version: Version) -> bool:
        """See to it that there is a zygote to fork its replicas from; whether that took a while. Raises NoRoom."""
        if _place(version) in self._zygotes or self.why_fresh(version):
            return False
        with contextlib.suppress(CannotFork, ZygoteLost, OSError):  # they are met again by whoever forks
            await self._zygote(version)
        return True

    @contextlib.contextmanager
    def held(self, version: Version) -> Iterator[None]:
        """Its zygote is not ended meanwhile, should there be one."""
        with contextlib.ExitStack() as stack:
            if (zygote := self._zygotes.get(_place(version))) is not None:
                stack.enter_context(zygote.held())
            yield

    async def start(
        self, version: Version, name: str, process: WorkerProcess, parent: Forker | None = None, baseline: int = 0
    ) -> socket.socket:
        """Have `process` born for the version, waiting for its hello; the platform's end of its socket.

        `name` is the replica's. With a `parent` that has the version loaded it is forked from there: raises CannotFork
        and ZygoteLost then. Raises OSError.
        """
        near, far = _pair()
        try:
            with far, self._log(version) as log:
                async with self._entrance(version, name, process) as entrance:
                    if parent is not None:
                        descriptors = (far.fileno(), log.fileno())
                        await parent.fork(name, process, descriptors, baseline, entrance.within())
                    elif not await self._fork(version, name, process, far, log, entrance):
                        await self._start_fresh(version, name, process, far, log, entrance)
        except BaseException:
            near.close()
            process.kill()
            raise
        return near

    async def start_template(
        self, version: Version, name: str, process: WorkerProcess
    ) -> tuple[socket.socket, socket.socket]:
        """Fork a template from the environment's zygote: the platform's ends of its socket and of its channel.

        Raises CannotFork, ZygoteLost, OSError.
        """
        near, far = _pair()
        channel, far_channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with far, far_channel, self._log(version) as log:
                descriptors = (far.fileno(), log.fileno(), far_channel.fileno())
                async with self._entrance(version, name, process) as entrance:
                    await self._fork_from_zygote(version, name, process, descriptors, entrance)
        except BaseException:
            near.close()
            channel.close()
            process.kill()
            raise
        return near, channel

    def learned(self, version: Version, modules: Sequence[str]) -> None:
        """Loading told which modules the environment's zygote should have."""
        known = self._modules(version.environment)
        if not known.keys() >= set(modules):
            known.update(dict.fromkeys(remember_modules(self._environments, version.environment, modules)))
        zygote = self._zygotes.get(_place(version))
        if zygote is not None:
            zygote.preload(known)

    def idle(self) -> Iterator[tuple[float, str, Callable[[], None]]]:
        """Zygotes without workers: since when, under which key their memory is counted, and how to end them."""
        for place, zygote in self._zygotes.items():
            if zygote.idle_since is not None:
                yield zygote.idle_since, _key(place), lambda place=place: self._drop(place)  # type: ignore[misc]

    def stop(self) -> None:
        """Kill all zygotes, and with them the workers that they forked."""
        for task in self._making.values():
            task.cancel()
        for place in list(self._zygotes):
            self._drop(place)
        self.sandboxes.stop()

    def _entrance(
        self, version: Version, name: str, process: WorkerProcess
    ) -> contextlib.AbstractAsyncContextManager[Entrance]:
        return self.sandboxes.entrance(version.owner, name, process, version.resources)

    async def _fork(
        self,
        version: Version,
        name: str,
        process: WorkerProcess,
        far: socket.socket,
        log: BinaryIO,
        entrance: Entrance,
    ) -> bool:
        try:
            await self._fork_from_zygote(version, name, process, (far.fileno(), log.fileno()), entrance)
        except CannotFork:
            return False
        except ZygoteLost as error:
            logger.warning("environment %s has no zygote: %s", version.environment[:12], error)
            return False
        return True

    async def _fork_from_zygote(
        self, version: Version, name: str, process: WorkerProcess, descriptors: Sequence[int], entrance: Entrance
    ) -> None:
        if why := self.why_fresh(version):
            raise CannotFork(why)
        zygote = await self._zygote(version)
        try:
            if zygote.sandbox is None:
                into = entrance.into([*self._needs(version), version.directory])
            else:
                into = entrance.within()
                await self._show(zygote, zygote.sandbox, version.directory)
            await zygote.fork(name, process, descriptors, into=into)
        except CannotFork as reason:
            self._cannot_fork(version, reason)
            if zygote.idle_since is not None and self._zygotes.get(_place(version)) is zygote:
                self._drop(_place(version))
            raise

    async def _show(self, zygote: Zygote, sandbox: Sandbox, directory: str) -> None:
        if directory not in zygote.shown:
            await self.sandboxes.show(sandbox, zygote.pid, directory)
            zygote.shown.add(directory)

    def _needs(self, version: Version) -> list[str]:
        """What every process of its environment must be able to read."""
        return [str(self._runtime), *interpreter_directories(version.interpreter)]

    async def _zygote(self, version: Version) -> Zygote:
        """The one of its place, with everything imported. Raises NoRoom, CannotFork, ZygoteLost, OSError."""
        place = _place(version)
        if (zygote := self._zygotes.get(place)) is not None:
            return zygote
        task = self._making.get(place)
        if task is None:
            task = self._making[place] = asyncio.get_running_loop().create_task(self._make(version, place))
            task.add_done_callback(lambda _task: self._making.pop(place, None))
        # Not cancelled with this one: others may wait for it, and who comes next may have it.
        return await asyncio.shield(task)

    async def _make(self, version: Version, place: Place) -> Zygote:
        key = _key(place)
        await self._room.claim(key, self._room.supposed_of_zygote(key))
        try:
            async with self._imports.one():
                zygote = self._zygotes[place] = await self._imported(version, place)
        except BaseException:
            self._room.left(key)
            raise
        return zygote

    async def _imported(self, version: Version, place: Place) -> Zygote:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = WorkerProcess(lambda: None)
        with _open_log(self._logs / f"zygote-{version.environment[:12]}.log") as log, far:
            descriptors = {3: far.fileno(), 1: log.fileno(), 2: log.fileno()}
            try:
                sandbox = await self._start_zygote(version, process, descriptors)
            except BaseException:
                near.close()
                raise
        zygote = Zygote(near, process, lambda: self._lost(place), sandbox)
        zygote.on_listener = self.sandboxes.listen
        try:
            self._room.settled(_key(place), zygote.pid, forks=True)
            zygote.preload(self._modules(version.environment))
            await zygote.imported()
        except BaseException as error:
            zygote.stop()
            if isinstance(error, CannotFork):
                self._cannot_fork(version, error)
            raise
        return zygote

    async def _start_zygote(
        self, version: Version, process: WorkerProcess, descriptors: Mapping[int, int]
    ) -> Sandbox | None:
        """The zygote of a trusted environment has no sandbox, for its children enter those of their owners; any other
        has its owner's."""
        name, command = f"zygote {new_id()}", [version.interpreter, "-m", MODULE]
        given = (command, self._runtime, worker_environment(self._runtime), descriptors)
        if version.trusted:
            await self.sandboxes.spawner.run(name, process, *given, HERE)
            return None
        async with self.sandboxes.entrance(version.owner, name, process, _ZYGOTE) as entrance:
            await self.sandboxes.spawner.run(name, process, *given, entrance.into(self._needs(version)))
        return entrance.sandbox

    def _cannot_fork(self, version: Version, reason: CannotFork) -> None:
        logger.warning("environment %s: %s; its workers start fresh", version.environment[:12], reason)
        self._unforkable[version.environment] = str(reason)

    def _modules(self, environment: str) -> dict[str, None]:
        known = self._known.get(environment)
        if known is None:
            known = self._known[environment] = dict.fromkeys(known_modules(self._environments, environment))
        return known

    def _drop(self, place: Place) -> None:
        self._zygotes.pop(place).stop()
        self._room.left(_key(place))

    def _lost(self, place: Place) -> None:
        logger.warning("the zygote of environment %s ended", place[0][:12])
        self._zygotes.pop(place, None)
        self._room.left(_key(place))

    async def _start_fresh(
        self,
        version: Version,
        name: str,
        process: WorkerProcess,
        far: socket.socket,
        log: BinaryIO,
        entrance: Entrance,
    ) -> None:
        if not os.access(version.interpreter, os.X_OK):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), version.interpreter)
        process.fresh = True
        command, environment = [version.interpreter, "-m", _WORKER], worker_environment(self._runtime)
        descriptors = {0: far.fileno(), 3: far.fileno(), 1: log.fileno(), 2: log.fileno()}
        into = entrance.into([*self._needs(version), version.directory])
        try:
            spawner = self.sandboxes.spawner
            await spawner.run(name, process, command, self._runtime, environment, descriptors, into)
        except (CannotFork, ZygoteLost) as error:
            raise OSError(str(error)) from error

    def _log(self, version: Version) -> BinaryIO:
        return _open_log(self._logs / f"{version.owner}.{version.algorithm}.log")


def _pair() -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    near.setblocking(False)
    return near, far


def _open_log(path: Path) -> BinaryIO:
    """To append to; what is too long already is kept aside once."""
    log = path.open("ab")
    if log.tell() <= _LOG_BYTES:
        return log
    log.close()
    path.rename(path.with_suffix(".log.1"))
    return path.open("ab")


def interpreter_directories(interpreter: str) -> list[str]:
    """The environment that an interpreter belongs to, and those that its links lead to."""
    found = [os.path.dirname(os.path.dirname(interpreter))]
    for _ in range(_MOST_LINKS):
        if not os.path.islink(interpreter):
            break
        interpreter = os.path.normpath(os.path.join(os.path.dirname(interpreter), os.readlink(interpreter)))
        found.append(os.path.dirname(os.path.dirname(interpreter)))
    return [*found, os.path.dirname(os.path.dirname(os.path.realpath(interpreter)))]


def _place(version: Version) -> Place:
    return version.environment, "" if version.trusted else version.owner


def _key(place: Place) -> str:
    return f"zygote {place[0]} {place[1]}"
