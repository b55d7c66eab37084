"""Commands of jobs, run at low weight on this host."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from slipway.wire.messages import Ran, Run
from slipway.workers.sandbox import kill_group, launch

_NICENESS = 10
_NOT_FOUND = 127  # as shells say it


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
