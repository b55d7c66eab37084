"""Files and directories that something which ended has left."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from slipway.settings import Settings

GRACE_SECONDS = 3600.0  # what is younger may be on its way
_UNFINISHED_SECONDS = 86400.0
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORKER_LOG = re.compile(r"zygote-.+\.log|[^.]+\.[^.]+\.log")


def find(settings: Settings, before: float) -> Iterator[tuple[str, Path]]:
    """Logs last written before a time, and what uploads, builds and pushes that were cut off have left."""
    for path in _entries(settings.builds_directory):
        if path.suffix == ".log" and _modified(path) < before:
            yield "build log", path
    for path in _entries(settings.logs_directory):
        if _WORKER_LOG.fullmatch(path.name) and _modified(path) < before:
            yield "worker log", path
    git = settings.git_directory / ".home"
    for path in (
        *_entries(settings.files_directory / ".uploads"),
        *(one for one in _entries(settings.environments_directory / "building") if one.is_dir()),
        *(one for one in _entries(git) if one.name.startswith(("new-", "removed-"))),
    ):
        if is_older(path, _UNFINISHED_SECONDS):
            yield "leftover", path


def directories(parent: Path) -> list[Path]:
    """Those in a directory that may not be there."""
    return [path for path in _entries(parent) if path.is_dir() and not path.is_symlink()]


def is_digest(name: str) -> bool:
    """Whether it names an environment."""
    return _DIGEST.fullmatch(name) is not None


def is_older(path: Path, seconds: float) -> bool:
    """Whether it was last changed longer ago; not where it is gone."""
    return _modified(path) < time.time() - seconds


def size(path: Path) -> int:
    """Bytes on disk of a file, or of all files below a directory."""
    if not path.is_dir():
        return _allocated(path)
    return sum(_allocated(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)


def _allocated(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return time.time()


def _entries(parent: Path) -> list[Path]:
    return sorted(parent.iterdir()) if parent.is_dir() else []
