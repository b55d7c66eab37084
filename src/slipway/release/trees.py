"""Directories that are finished: read-only, readable by workers of any user; and removing them again."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

_FILE, _PROGRAM = 0o444, 0o555


def make_read_only(directory: Path) -> None:
    """Everything below becomes readable by all and writable by nobody; programs stay programs."""
    for folder, _, files in os.walk(directory):
        for name in files:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                os.chmod(path, _PROGRAM if mode & 0o100 else _FILE)
        os.chmod(folder, _PROGRAM)


def remove_tree(directory: Path) -> None:
    """Remove a directory, read-only ones too; one that is not there is no error."""
    if directory.is_symlink() or not directory.exists():
        return
    if os.geteuid() != 0:
        for folder, _, _ in os.walk(directory):
            os.chmod(folder, 0o700)
    shutil.rmtree(directory, ignore_errors=True)
