"""A consistent copy of a platform, which may run meanwhile, as one archive that appears whole or not at all.

The store is copied first, in one moment. What it names is immutable and copied after it; were some of that deleted in
between, a new copy of the store is taken and everything begins again. Checkpoints come before the journals whose heads
they sign, so that the ledger verifies.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from slipway import __version__
from slipway.errors import InputError, SlipwayError
from slipway.ids import new_id
from slipway.journal.format import FORMAT as JOURNAL_FORMAT
from slipway.operations import contents
from slipway.operations.archive import FORMAT, ArchiveWriter, Header
from slipway.operations.exclusive import alone, note
from slipway.registry import naming
from slipway.registry.online import copy_database, snapshot
from slipway.settings import Settings

_ROUNDS = 5


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What was made."""

    path: str
    created_at: float  # the moment of its store
    files: int
    size: int  # bytes of all files
    seconds: float


class _Vanished(Exception):
    """What the store named is no longer there."""


async def back_up(settings: Settings, target: Path) -> Backup:
    """Write a backup to the file `target`, which must not exist.

    Raises InputError, StartupError, SlipwayError, OSError.
    Interrupted at any point it leaves no `target`; the next one removes what it left beside it.
    """
    target = target.expanduser().resolve()
    _check(settings, target)
    started = time.monotonic()
    with alone(settings):
        for leftover in target.parent.glob(f".{target.name}.part-*"):
            shutil.rmtree(leftover)
        scratch = target.parent / f".{target.name}.part-{new_id()}"
        scratch.mkdir(mode=0o700)
        try:
            made = await _until_whole(settings, scratch)
            _put_in_place(scratch / "archive", target)
        finally:
            shutil.rmtree(scratch)
        done = msgspec.structs.replace(made, path=str(target), seconds=time.monotonic() - started)
        await note(settings, "backup", str(target), files=str(done.files), size=str(done.size))
    return done


async def _until_whole(settings: Settings, scratch: Path) -> Backup:
    for _ in range(_ROUNDS):
        try:
            return await _attempt(settings, scratch)
        except _Vanished as error:
            reason = str(error)
    raise SlipwayError(f"no consistent copy could be made: {reason} was deleted, or is missing, in each of {_ROUNDS}")


async def _attempt(settings: Settings, scratch: Path) -> Backup:
    store = scratch / "store.db"
    for leftover in scratch.iterdir():
        leftover.unlink()
    moment = time.time()
    await snapshot(settings.store, store)
    names = naming.read(store)
    header = Header(
        format=FORMAT,
        slipway=__version__,
        created_at=moment,
        root=str(settings.root),
        schema=names.schema,
        journal_format=JOURNAL_FORMAT,
    )
    return await asyncio.to_thread(_write, settings, scratch, header, names)


def _write(settings: Settings, scratch: Path, header: Header, names: naming.Names) -> Backup:
    with (scratch / "archive").open("wb") as out:
        os.chmod(out.fileno(), 0o600)
        archive = ArchiveWriter(out, header)
        archive.add("store.db", scratch / "store.db")
        _add_named(archive, contents.inputs(settings, names.inputs))
        _add(archive, contents.results(settings))
        for database in contents.databases(settings):
            copy = scratch / database.name
            copy.unlink(missing_ok=True)
            copy_database(database, copy)
            archive.add(str(database.relative_to(settings.root)), copy)
        _add(archive, contents.journals(settings))
        _add_named(archive, contents.named(settings, names.versions, names.environments))
        _add_named(archive, contents.repositories(settings, names.algorithms))
        _add(archive, contents.everything_else(settings))
        archive.close()
        out.flush()
        os.fsync(out.fileno())
    return Backup(path="", created_at=header.created_at, files=archive.files, size=archive.size, seconds=0.0)


def _add_named(archive: ArchiveWriter, items: Iterator[contents.Item]) -> None:
    try:
        for item in items:
            archive.add(*item)
    except FileNotFoundError as error:
        raise _Vanished(error.filename) from error


def _add(archive: ArchiveWriter, items: Iterator[contents.Item]) -> None:
    """What is deleted while it is copied was deleted after the moment of the store."""
    for item in items:
        try:
            archive.add(*item)
        except FileNotFoundError:
            continue


def _check(settings: Settings, target: Path) -> None:
    if not settings.root.is_dir():
        raise InputError(f"there is no data directory {settings.root}")
    if target.exists():
        raise InputError(f"{target} exists already: choose another name")
    if not target.parent.is_dir():
        raise InputError(f"there is no directory {target.parent}")
    if target.is_relative_to(settings.root):
        raise InputError(f"{target} lies in the data directory: a backup belongs elsewhere")


def _put_in_place(archive: Path, target: Path) -> None:
    archive.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
