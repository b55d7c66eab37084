"""Commands of jobs, run at low weight on this host."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from slipway.wire.messages import Ran, Run
from slipway.workers.sandbox import kill_group, launch

_NICENESS = 10


async def run_command(message: Run, output: int) -> Ran:
    """Run to the end, its output to the descriptor `output`, which is closed; killed when its time is over."""
    try:
        process = launch(
            message.command,
            directory=Path(message.directory),
            environment=message.environment,
            descriptors={1: output, 2: output},
            niceness=_NICENESS,
        )
    except OSError as error:
        os.write(output, f"{message.command[0]}: {error}\n".encode())
        return Ran(request=message.request, exit_status=127)
    finally:
        os.close(output)
    loop, descriptor = asyncio.get_running_loop(), os.pidfd_open(process.pid)
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    timed_out = False
    try:
        async with asyncio.timeout(message.timeout_seconds):
            await ended.wait()
    except TimeoutError:
        timed_out = True
    finally:
        # Also when the job was cancelled: nothing of it outlives this.
        loop.remove_reader(descriptor)
        os.close(descriptor)
        kill_group(process.pid)
        status = process.wait()
    return Ran(request=message.request, exit_status=status, timed_out=timed_out)
