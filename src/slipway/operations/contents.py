"""What of a data directory goes into a backup, in which order, and under which name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from slipway.journal.copying import settled_parts
from slipway.settings import Settings

# Made anew at every start, or no part of the platform's state.
_LEFT_OUT = frozenset({"run", "logs", "runtimes"})
# Copied in a way of their own.
_SPECIAL = frozenset({"journal", "git", "versions", "environments", "observer", "requests"})
_DATABASE = (".db", ".db-wal", ".db-shm", ".db-journal")
_UNFINISHED = (".new", ".part", ".lock")
_UPLOADS = ".uploads"  # below hosted data: what is not whole yet

Skip = Callable[[Path], bool]


class Item(NamedTuple):
    """One thing to copy."""

    name: str  # below the data directory
    path: Path
    length: int | None = None  # its first bytes only


def named(settings: Settings, versions: list[str], environments: list[str]) -> Iterator[Item]:
    """The directories that the store names: immutable once they are there."""
    for folder, names in ((settings.versions_directory, versions), (settings.environments_directory, environments)):
        for name in names:
            yield from _tree(settings, folder / name)


def inputs(settings: Settings, ids: list[str]) -> Iterator[Item]:
    """What asynchronous calls that have not ended were given, where that lies in files."""
    for name in ids:
        yield _item(settings, settings.requests_directory / f"{name}.input")


def results(settings: Settings) -> Iterator[Item]:
    """What became of those that have."""
    for path in sorted(settings.requests_directory.glob("*.result")):
        yield _item(settings, path)


def repositories(settings: Settings, names: list[str]) -> Iterator[Item]:
    """Repositories `OWNER/NAME` while they are pushed to: what refers to objects comes before the objects."""
    for name in names:
        repository = settings.git_directory / f"{name}.git"
        yield from (_item(settings, repository.parent), _item(settings, repository))
        for part in ("HEAD", "config", "packed-refs", "refs"):
            if (repository / part).exists():
                yield from _tree(settings, repository / part, _unfinished_push)
        for part in sorted(os.listdir(repository)):
            if part not in ("HEAD", "config", "packed-refs", "refs", "objects"):
                yield from _tree(settings, repository / part, _unfinished_push)
        yield from _tree(settings, repository / "objects", _unfinished_push)


def journals(settings: Settings) -> Iterator[Item]:
    """The ledger, as far as it is settled."""
    for path, length in settled_parts(settings.journal_directory):
        yield _item(settings, path, length)


def everything_else(settings: Settings) -> Iterator[Item]:
    """Hosted data, build logs, locks, keys, settings, and whatever a later part of the platform keeps there."""
    for path in sorted(settings.root.iterdir()):
        if path.name in _LEFT_OUT | _SPECIAL or path.name.endswith((*_DATABASE, *_UNFINISHED)) or path.is_socket():
            continue
        yield from _tree(settings, path, lambda below: below == settings.files_directory / _UPLOADS)
    if (locks := settings.environments_directory / "locks").is_dir():
        yield from _tree(settings, locks)


def databases(settings: Settings) -> list[Path]:
    """What the observer has derived. It counts anew what is missing, but not from journals that were dropped."""
    return sorted((settings.root / "observer").glob("*.db"))


def _nothing(_path: Path) -> bool:
    return False


def _unfinished_push(path: Path) -> bool:
    """What git has not finished writing; no reference names it."""
    return path.name.startswith(("tmp_", "incoming-")) or path.name.endswith(".lock")


def _tree(settings: Settings, top: Path, skip: Skip = _nothing) -> Iterator[Item]:
    """`top` and all files, links and directories below it."""
    yield _item(settings, top)
    if top.is_symlink() or not top.is_dir():
        return
    with os.scandir(top) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = Path(entry.path)
        if skip(path):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _tree(settings, path, skip)
        elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
            yield _item(settings, path)


def _item(settings: Settings, path: Path, length: int | None = None) -> Item:
    return Item(str(path.relative_to(settings.root)), path, length)
