"""Laying out a commit's files from git's archive, without trusting any name or link in it.

`tarfile`'s own filter for this is missing from Python 3.11.0 to 3.11.3, which Debian 12 has.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from slipway.errors import BuildFailed


def lay_out(archive: IO[bytes], target: Path) -> None:
    """Write the archive's directories, files and links below `target`, which must not exist. Raises BuildFailed."""
    target.mkdir(parents=True)
    links: dict[Path, str] = {}
    try:
        with tarfile.open(fileobj=archive, mode="r:") as members:
            for member in members:
                path = target / _inside(member.name)
                if member.issym():
                    links[path] = member.linkname
                elif member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif member.isfile():
                    _write(path, members.extractfile(member), member.mode)
        # Last, so that no file was written through one.
        _link(links, target)
    except (tarfile.TarError, OSError) as error:
        raise BuildFailed(f"the commit's files cannot be laid out: {error}") from error


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise BuildFailed(f"the commit has a file of the name {name!r}")
    return path


def _write(path: Path, content: IO[bytes] | None, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        if content is not None:
            shutil.copyfileobj(content, file)
    path.chmod(0o755 if mode & 0o100 else 0o644)


def _link(links: dict[Path, str], target: Path) -> None:
    for path, leads_to in links.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(leads_to)
    # Only now: a link may lead through others.
    root = os.path.realpath(target)
    for path, leads_to in links.items():
        found = os.path.realpath(path)
        if os.path.isabs(leads_to) or not (found == root or found.startswith(f"{root}/")):
            raise BuildFailed(f"the link {path.relative_to(target)} leads outside the repository, to {leads_to}")
