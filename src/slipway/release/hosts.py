"""Control's link to the host: builds check versions and run commands there; `slipway status` asks what runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slipway.errors import CapacityError
from slipway.ids import new_id
from slipway.types import Version
from slipway.wire.link import HostLink
from slipway.wire.messages import Cancel, Check, Checked, Inspect, Inspected, Join, Ran, Run, ToControl

Output = Callable[[str], None]  # takes one line, without its end

_PATIENCE_SECONDS = 10.0  # how long a request waits for a host that is being restarted
_DRAIN_SECONDS = 1.0  # for output of a command's own children that outlive it
_LONGEST_LINE = 64 * 1024


class HostLost(CapacityError):
    """The host ended while it worked for a build. The build is tried again."""


class Hosts:
    """A connection that comes back by itself whenever the host does. Requests are awaited; several may be in flight."""

    def __init__(self, path: Path, name: str = "control") -> None:
        join = Join(role="control", name=name)
        self._connected = asyncio.Event()
        self._link = HostLink(path, join, ToControl, self._received, self._connected.set, self._forget)
        self._waiting: dict[str, asyncio.Future[Any]] = {}

    @property
    def connected(self) -> bool:
        """Whether a host is there."""
        return self._link.connected

    def start(self) -> None:
        """Connect now, or as soon as a host listens."""
        self._link.start()

    def stop(self) -> None:
        """Leave the host; what was asked of it fails."""
        self._link.stop()
        self._forget()

    async def check(
        self, version: Version, sample: bytes | None, timeout_seconds: float | None = None, cuda: bool = False
    ) -> Checked:
        """Start one replica, load it and call the sample input (JSON). Raises HostLost, TimeoutError.

        `cuda`: its environment is for such hardware.
        """
        message = Check(request=new_id(), version=version, sample=sample, cuda=cuda)
        async with asyncio.timeout(timeout_seconds):
            answer: Checked = await self._ask(message)
        return answer

    async def inspect(self, timeout_seconds: float | None = 5.0) -> Inspected:
        """What runs there. Raises HostLost, TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            answer: Inspected = await self._ask(Inspect(request=new_id()))
        return answer

    async def run(
        self,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        *,
        timeout_seconds: float,
        output: Output,
        owner: str = "",
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
    ) -> Ran:
        """Run a command at low weight; `output` gets every line it prints, as it does. Raises HostLost.

        With an `owner` it runs in that one's sandbox, where it has the network, and what `reads` and `writes` say.
        """
        reading, writing = os.pipe()
        message = Run(
            request=new_id(),
            command=tuple(command),
            directory=str(directory),
            environment=dict(environment),
            timeout_seconds=timeout_seconds,
            owner=owner,
            reads=tuple(reads),
            writes=tuple(writes),
        )
        async with _lines(reading, output) as ended:
            answer: Ran = await self._ask(message, writing)
            await asyncio.wait([ended], timeout=_DRAIN_SECONDS)
        return answer

    async def _ask(self, message: Check | Run | Inspect, *descriptors: int) -> Any:  # noqa: ANN401 - by the message
        """Send and wait for the answer. The descriptors are this function's to close."""
        try:
            await self._ready()
            # Known before it is sent: sending may find that the host has just gone.
            answer = self._waiting[message.request] = asyncio.get_running_loop().create_future()
            self._link.send(message, descriptors)
        finally:
            # The host has duplicates: were ours open, the end of its output would never be seen.
            for descriptor in descriptors:
                os.close(descriptor)
        try:
            return await answer
        except asyncio.CancelledError:
            self._link.send(Cancel(request=message.request))
            raise
        finally:
            self._waiting.pop(message.request, None)

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not self.connected:
                    await self._connected.wait()
        except TimeoutError as error:
            raise HostLost("no host is running; the build is tried again") from error

    def _received(self, message: Any, descriptors: list[int]) -> None:  # noqa: ANN401 - the union ToControl
        for descriptor in descriptors:
            os.close(descriptor)
        waiting = self._waiting.get(getattr(message, "request", ""))
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _forget(self) -> None:
        self._connected.clear()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(HostLost("the host ended while it worked for the build"))


@contextlib.asynccontextmanager
async def _lines(descriptor: int, output: Output) -> AsyncIterator[asyncio.Task[None]]:
    """Hand on the lines that come out of a pipe; the task ends with it."""
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb", 0))
    task = asyncio.create_task(_pump(reader, output))
    try:
        yield task
    finally:
        transport.close()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _pump(reader: asyncio.StreamReader, output: Output) -> None:
    while True:
        try:
            line = await reader.readuntil()
        except asyncio.IncompleteReadError as error:
            if error.partial:
                output(error.partial.decode(errors="replace").rstrip("\r\n"))
            return
        except asyncio.LimitOverrunError:
            line = await reader.read(_LONGEST_LINE)
        output(line.decode(errors="replace").rstrip("\r\n"))
