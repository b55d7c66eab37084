"""Runs a command as an ordinary user where the tests run as root: sandboxes are made in another way there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from slipway.workers.runtimes.python import kernel

USER = 54_321  # no account of the machine


def become_ordinary(readable: Sequence[Path]) -> Callable[[], None]:
    """What a child process does, as root, to be an ordinary user who can read these directories nevertheless.

    Folders above them that only root may enter are covered, for that process alone, by ones with nothing else in them.
    """
    covers = _covers([path.resolve() for path in readable])

    def become() -> None:
        if os.geteuid() != 0:
            return
        kernel.unshare(kernel.NEW_MOUNTS)
        kernel.keep_mounts_private()
        for cover, paths in covers.items():
            trees = [(path, kernel.tree(str(path), 0)) for path in paths]
            kernel.mount("tmpfs", str(cover), "mode=755")
            for path, tree in trees:
                path.mkdir(parents=True)
                kernel.attach(tree, str(path))
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)

    return become


def interpreter_and_source() -> list[Path]:
    """What running the platform from this checkout needs to read."""
    return [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1]]


def _covers(paths: list[Path]) -> dict[Path, list[Path]]:
    found: dict[Path, list[Path]] = {}
    for path in paths:
        closed = next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)
        inside = any(path.is_relative_to(other) for others in found.values() for other in others)
        if closed is not None and not inside:
            found.setdefault(closed, []).append(path)
    return found
