"""The files of a directory that belong to its source."""

from __future__ import annotations

import subprocess
from pathlib import Path

from slipway.connection import ClientError

_LEFT_OUT = {
    ".git",
    ".venv",
    "venv",
    "__pycache__",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
}


def read(directory: Path) -> dict[str, bytes]:
    """Contents by path. In a git working tree, what git would take; else all but what tools leave behind.

    Raises ClientError where there is nothing.
    """
    paths = _tracked(directory)
    if paths is None:
        paths = [
            path.relative_to(directory)
            for path in sorted(directory.rglob("*"))
            if not _LEFT_OUT.intersection(path.relative_to(directory).parts)
        ]
    files = {path.as_posix(): (directory / path).read_bytes() for path in paths if (directory / path).is_file()}
    if not files:
        raise ClientError(f"there are no files in {directory}")
    return files


def _tracked(directory: Path) -> list[Path] | None:
    """Files that git knows or would add; None outside a working tree."""
    command = ["git", "-C", str(directory), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    if done.returncode:
        return None
    return [Path(name.decode()) for name in done.stdout.split(b"\0") if name]
