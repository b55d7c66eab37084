"""Waiting for a condition in place of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
_PAUSE_SECONDS = 0.01


def eventually(condition: Callable[[], T], timeout: float = 10.0) -> T:
    """The first true value of `condition`; raises AssertionError after `timeout` seconds without one."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"condition not met within {timeout} s")
        time.sleep(_PAUSE_SECONDS)
    return value


async def eventually_async(condition: Callable[[], Awaitable[T]], timeout: float = 10.0) -> T:
    """As `eventually`, for a condition that must be awaited."""
    deadline = time.monotonic() + timeout
    while not (value := await condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"condition not met within {timeout} s")
        await asyncio.sleep(_PAUSE_SECONDS)
    return value
