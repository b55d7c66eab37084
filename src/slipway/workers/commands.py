"""Commands of jobs, run at low weight on this host."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from slipway.types import Resources
from slipway.wire.messages import Ran, Run
from slipway.workers.forkers import CannotFork, ZygoteLost
from slipway.workers.processes import WorkerProcess
from slipway.workers.sandbox.launching import change_owner, kill_group, launch
from slipway.workers.sandbox.sandboxes import Sandboxes
from slipway.workers.turns import processors

_NICENESS = 10
_NOT_FOUND = 127  # as shells say it
_MOST = Resources(cpu=float(processors()), memory_bytes=8 * 2**30)  # what compilers may take


class SandboxedCommand:
    """In an owner's sandbox, its output to the descriptor `output`, which is closed here. Call `finish`."""

    def __init__(self, message: Run, output: int, sandboxes: Sandboxes) -> None:
        self._message, self._output, self._sandboxes = message, output, sandboxes
        self._process = WorkerProcess(lambda: None)

    async def finish(self) -> Ran:
        """Run it, and end it when its time is over or whoever waits is cancelled."""
        message, timed_out = self._message, False
        try:
            await self._start()
            async with asyncio.timeout(message.timeout_seconds):
                await self._process.ended.wait()
        except (OSError, ZygoteLost, CannotFork) as error:
            if not isinstance(error, TimeoutError):
                os.write(self._output, f"{message.command[0]}: {error}\n".encode())
                return Ran(request=message.request, exit_status=_NOT_FOUND)
            timed_out = True
        finally:
            os.close(self._output)
            self.kill()
        await self._process.ended.wait()
        status = os.waitstatus_to_exitcode(self._process.status)
        return Ran(request=message.request, exit_status=status, timed_out=timed_out)

    def kill(self) -> None:
        """End it, and what it has started, at once."""
        self._process.kill()

    async def _start(self) -> None:
        message, name = self._message, f"command {self._message.request}"
        async with self._sandboxes.entrance(message.owner, name, self._process, _MOST) as entrance:
            if entrance.sandbox.user is not None:
                for directory in message.writes:
                    user = entrance.sandbox.user
                    await asyncio.to_thread(change_owner, Path(directory), user, user)
            into = entrance.into(message.reads, message.writes, network=True)
            descriptors = {1: self._output, 2: self._output}
            given = (message.command, Path(message.directory), message.environment, descriptors, into, _NICENESS)
            await self._sandboxes.spawner.run(name, self._process, *given)


class Command:
    """Started at once, its output to the descriptor `output`, which is closed here. Call `finish` or `kill`."""

    def __init__(self, message: Run, output: int) -> None:
        self._message = message
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = launch(
                message.command,
                directory=Path(message.directory),
                environment=message.environment,
                descriptors={1: output, 2: output},
                niceness=_NICENESS,
            )
        except OSError as error:
            os.write(output, f"{message.command[0]}: {error}\n".encode())
        finally:
            os.close(output)

    async def finish(self) -> Ran:
        """Wait for its end, and end it when its time is over or whoever waits is cancelled."""
        process = self._process
        if process is None:
            return Ran(request=self._message.request, exit_status=_NOT_FOUND)
        loop, descriptor = asyncio.get_running_loop(), os.pidfd_open(process.pid)
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        timed_out = False
        try:
            async with asyncio.timeout(self._message.timeout_seconds):
                await ended.wait()
        except TimeoutError:
            timed_out = True
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            # Also when the job was cancelled: nothing of it outlives this.
            self.kill()
        return Ran(request=self._message.request, exit_status=process.returncode, timed_out=timed_out)

    def kill(self) -> None:
        """End it, and what it has started, at once."""
        if self._process is not None and self._process.returncode is None:
            kill_group(self._process.pid)
            self._process.wait()
