"""Settings that change while the platform runs: the supervisor writes them down, every process reads them again.

A settings object is frozen for all of the code but `follow`, which changes this process's own when SIGHUP comes. What
keeps a copy of a setting asks for it again in `on_change`.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from slipway.settings import Settings

LIVE = frozenset(
    {
        "account_concurrency",
        "body_limit_bytes",
        "build_concurrency",
        "build_timeout_seconds",
        "call_timeout_max_seconds",
        "call_timeout_seconds",
        "cors_origins",
        "drain_seconds",
        "extra_index_urls",
        "find_links",
        "idle_seconds",
        "index_url",
        "journal_keep_days",
        "keep_days",
        "keep_versions",
        "key_concurrency",
        "log_level",
        "max_replicas",
        "memory_bytes",
        "offline",
        "payload_keep_days",
        "queue_limit",
        "waiting_limit_bytes",
    }
)

_listeners: list[Callable[[], None]] = []

logger = logging.getLogger(__name__)


def changed(old: Settings, new: Settings) -> set[str]:
    """Names of the settings that differ."""
    return {name for name in Settings.__struct_fields__ if getattr(old, name) != getattr(new, name)}


def take_over(settings: Settings, new: Settings) -> None:
    """Change the settings in LIVE to their new values."""
    for name in LIVE:
        msgspec.structs.force_setattr(settings, name, getattr(new, name))


def write(settings: Settings) -> None:
    """Leave the settings in LIVE where the platform's processes read them."""
    values = {name: getattr(settings, name) for name in LIVE}
    temporary = _file(settings).with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(msgspec.json.encode(values))
    temporary.replace(_file(settings))


def forget(settings: Settings) -> None:
    """What an earlier platform has left is not this one's."""
    _file(settings).unlink(missing_ok=True)


def on_change(listener: Callable[[], None]) -> None:
    """Call it, on the main thread, whenever this process's settings have changed."""
    _listeners.append(listener)


def follow(settings: Settings) -> None:
    """Read what changed since the supervisor started, and again at every SIGHUP."""

    def read() -> None:
        try:
            values = msgspec.json.decode(_file(settings).read_bytes(), type=dict)
            new = msgspec.convert({**msgspec.structs.asdict(settings), **values}, Settings)
        except FileNotFoundError:
            new = settings
        take_over(settings, new)
        logging.getLogger().setLevel(settings.log_level.upper())
        for listener in _listeners:
            listener()

    def heard(_number: int, _frame: object) -> None:
        try:
            read()
        except (OSError, msgspec.MsgspecError) as error:
            logger.error("settings stay as they are: %s", error)

    signal.signal(signal.SIGHUP, heard)
    read()


def _file(settings: Settings) -> Path:
    return settings.run_directory / "live.json"
