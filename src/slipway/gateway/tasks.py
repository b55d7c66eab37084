"""Tasks that nobody awaits: kept from the garbage collector until they end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

_running: set[asyncio.Task[None]] = set()


def background(work: Coroutine[None, None, None]) -> None:
    """Run a coroutine to its end; the loop's exception handler sees what it raises."""
    task = asyncio.get_running_loop().create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
