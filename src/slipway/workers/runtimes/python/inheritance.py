"""What a call starts belongs to it: its threads, and the work that it hands to pools of threads.

Tasks of an event loop, and `asyncio.to_thread`, take the context of whoever makes them. Threads and executors do not,
so they are taught to: a pool that outlives a call must not ask the platform for something in that call's name.
"""

from __future__ import annotations

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Callable

from slipway.workers.runtimes.python.running import CURRENT


def install() -> None:
    """From now on, in this process."""
    # Their types say more than one may put in their place.
    thread_type: Any = threading.Thread
    pool_type: Any = ThreadPoolExecutor
    start, submit = thread_type.start, pool_type.submit

    @functools.wraps(start)
    def start_in_context(thread: Any) -> None:
        if CURRENT.get() is not None:
            thread.run = functools.partial(copy_context().run, thread.run)
        start(thread)

    @functools.wraps(submit)
    def submit_in_context(pool: Any, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        return submit(pool, copy_context().run, call, *given, **named)

    thread_type.start, pool_type.submit = start_in_context, submit_in_context
