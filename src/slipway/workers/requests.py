"""What control asks of the host: checks of new versions, commands of jobs, what runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any

from slipway.types import AlgorithmFailure
from slipway.wire.channel import Channel
from slipway.wire.messages import Check, Checked, Inspect, Inspected, Replica, Run
from slipway.workers.commands import Command, SandboxedCommand
from slipway.workers.fleet import Fleet
from slipway.workers.leases import Leases
from slipway.workers.memory import proportional_bytes
from slipway.workers.replicas import HostedReplica
from slipway.workers.room import NoRoom, Room
from slipway.workers.trials import try_version

_MOST_LINES = 500  # of an inspection; one message holds no more

Background = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Requests:
    """Those of one connection; they end with it."""

    def __init__(self, channel: Channel, fleet: Fleet, leases: Leases, room: Room, background: Background) -> None:
        self._channel, self._fleet, self._leases, self._room = channel, fleet, leases, room
        self._background = background
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def check(self, message: Check) -> None:
        """Load the version, try its sample, and keep the replica for the first gateway that wants it."""
        self._begin(message.request, self._check(message))

    def run(self, message: Run, output: int) -> None:
        """Run a command of a job; `output` is closed here."""
        command = (
            SandboxedCommand(message, output, self._fleet.sandboxes) if message.owner else Command(message, output)
        )
        # Not left to the task alone: cancelled before its first step it never runs.
        self._begin(message.request, self._run(command)).add_done_callback(lambda _task: command.kill())

    def inspect(self, message: Inspect) -> None:
        """Tell what runs."""
        self._begin(message.request, self._inspect(message))

    def cancel(self, request: str) -> None:
        """End a request; it is not answered."""
        task = self._tasks.get(request)
        if task is not None:
            task.cancel()

    def cancel_all(self) -> None:
        """Whoever asked is gone."""
        for task in list(self._tasks.values()):
            task.cancel()

    def _begin(self, request: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._tasks[request] = self._background(work)
        task.add_done_callback(lambda _task: self._tasks.pop(request, None))
        return task

    async def _check(self, message: Check) -> None:
        started = time.monotonic()
        try:
            tried = await try_version(self._fleet, message.version, message.sample, message.cuda)
        except NoRoom as error:
            failure = AlgorithmFailure(error_type="SystemError", message=str(error))
            self._channel.send(Checked(request=message.request, failure=failure, seconds=0.0, no_room=True))
            return
        seconds = time.monotonic() - started
        answer = Checked(
            request=message.request, failure=tried.failure, seconds=seconds, output=tried.output, start=tried.start
        )
        if tried.replica is not None:
            self._leases.keep(tried.replica)
        self._channel.send(answer)

    async def _run(self, command: Command | SandboxedCommand) -> None:
        self._channel.send(await command.finish())

    async def _inspect(self, message: Inspect) -> None:
        replicas = list(islice(self._fleet.replicas.values(), _MOST_LINES))
        # Reading the memory of one takes the kernel up to a millisecond, during which this loop could start another.
        lines = await asyncio.to_thread(lambda: tuple(self._line(replica) for replica in replicas))
        self._channel.send(
            Inspected(
                request=message.request,
                replicas=lines,
                zygotes=self._fleet.nursery.zygotes,
                templates=len(self._fleet.templates),
                memory_bytes=self._room.taken_bytes,
                memory_limit_bytes=self._room.limit_bytes,
            )
        )

    def _line(self, replica: HostedReplica) -> Replica:
        return Replica(
            id=replica.id,
            version_id=replica.version.id,
            algorithm=f"{replica.version.owner}/{replica.version.algorithm}",
            pid=replica.process.pid,
            state=replica.state,
            gateway=self._leases.holder(replica),
            memory_bytes=proportional_bytes(replica.process.pid),
        )
