"""Hosted data on a file system of fsspec: the local one by default.

A file appears whole or not at all: it is written beside its place, synced, then renamed. All work runs in threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from slipway.errors import AlreadyExists, DataDirectoryUnusable, DiskFull, InputError, NoSuchData
from slipway.ids import new_id
from slipway.registry.paths import DataPath, parse_path
from slipway.registry.uploads import Body, Written, in_thread, receive, sync_directory

__all__ = ["DataPath", "Entry", "Files", "Written", "parse_path"]

_CHUNK_BYTES = 1 << 18
_DIGEST = "user.slipway.sha256"  # the attribute of a file that holds it
_TEMPORARY = ".uploads"  # no account has such a name


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a directory."""

    name: str
    directory: bool
    size: int = 0
    modified_at: float = 0.0
    sha256: str = ""  # hexadecimal; empty where it is not known


Entries = list[Entry]


class Files:
    """Hosted data below one directory, `OWNER/DIRECTORY/FILE`."""

    def __init__(self, root: Path) -> None:
        """Make the directory, and remove what uploads that a crash cut off have left. Raises DataDirectoryUnusable."""
        self._root = Path(os.path.realpath(root))
        self._uploads = self._root / _TEMPORARY
        self._system = LocalFileSystem()
        try:
            self._uploads.mkdir(parents=True, exist_ok=True)
            for leftover in self._uploads.iterdir():
                leftover.unlink()
        except OSError as error:
            raise DataDirectoryUnusable(f"{root}: {error.strerror}") from error

    async def make_directory(self, path: DataPath) -> None:
        """Make one directory. Raises NoSuchData where its parent is missing, AlreadyExists."""
        await in_thread(self._make_directory, path)

    async def stat(self, path: DataPath) -> Entry:
        """What is there; raises NoSuchData."""
        return await in_thread(self._stat, path)

    async def exists(self, path: DataPath) -> bool:
        """Whether anything is there."""
        return await in_thread(self._system.exists, self._place(path))

    async def list(self, path: DataPath) -> Entries:
        """A directory's content by name; raises NoSuchData, InputError for a file."""
        return await in_thread(self._list, path)

    async def write(self, path: DataPath, body: Body) -> Written:
        """Write a file, piece by piece, in place of what was there.

        Raises NoSuchData where its directory is missing, InputError where a directory has the name, DiskFull. Whatever
        is raised, by `body` too, the old file stays.
        """
        await in_thread(self._check_target, path)
        upload = self._uploads / new_id()
        try:
            written = await receive(upload, body)
            await in_thread(_keep_digest, upload, written.sha256)
            await in_thread(self._put_in_place, upload, path)
        except OSError as error:
            raise _disk_error(error, path) from error
        finally:
            upload.unlink(missing_ok=True)
        return written

    async def open(self, path: DataPath) -> OpenFile:
        """A file as it is now, whatever is put in its place while it is read. The caller closes it.

        Raises NoSuchData, InputError for a directory.
        """
        return await in_thread(self._open, path)

    async def read_stream(self, path: DataPath, offset: int = 0) -> AsyncIterator[bytes]:
        """A file's bytes from `offset` on; raises NoSuchData, InputError for a directory."""
        file = await self.open(path)
        async for chunk in file.read(offset):
            yield chunk

    async def forget_sessions(self, seconds: float) -> None:
        """Remove the data of calls in which nothing changed for that long."""
        await in_thread(self._forget_sessions, seconds)

    async def delete(self, path: DataPath, force: bool = False) -> int:
        """Remove a file, or a directory that is empty unless `force`; how many files went.

        Raises NoSuchData; InputError for a directory that is not empty.
        """
        return await in_thread(self._delete, path, force)

    def _place(self, path: DataPath) -> str:
        return str(self._root.joinpath(*path.base, *path.parts))

    def _info(self, path: DataPath) -> dict[str, Any]:
        place = self._place(path)
        # A link would lead out of what the path's owner may see.
        if os.path.realpath(place) != place:
            raise NoSuchData(f"there is nothing at {path}")
        try:
            info: dict[str, Any] = self._system.info(place)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NoSuchData(f"there is nothing at {path}") from error
        return info

    def _stat(self, path: DataPath) -> Entry:
        entry = _entry(self._info(path))
        return entry if entry.directory else msgspec.structs.replace(entry, sha256=_digest(self._place(path)))

    def _list(self, path: DataPath) -> Entries:
        if not self._stat(path).directory:
            raise InputError(f"{path} is a file, not a directory")
        listed = self._system.ls(self._place(path), detail=True)
        found = (_entry(info) for info in listed if not info.get("islink"))
        return sorted(found, key=lambda entry: entry.name)

    def _make_directory(self, path: DataPath) -> None:
        # An account's own directory is there as soon as it is needed, and so is that of an algorithm or a call.
        if len(path.parts) > 1:
            self._check_directory(path.parent)
        place = self._place(path)
        try:
            self._system.makedirs(place, exist_ok=not path.parts)
        except FileExistsError as error:
            raise AlreadyExists(f"{path} exists already") from error
        except OSError as error:
            raise _disk_error(error, path) from error
        sync_directory(os.path.dirname(place))

    def _check_directory(self, path: DataPath) -> None:
        if not self._stat(path).directory:
            raise InputError(f"{path} is a file, not a directory")

    def _check_target(self, path: DataPath) -> None:
        if len(path.parts) < (1 if path.apart else 2):
            raise InputError(f"{path} cannot be a file: files lie in directories, data://OWNER/DIRECTORY/FILE")
        if path.apart and len(path.parts) == 1:
            self._make_directory(path.parent)
        self._check_directory(path.parent)
        if self._system.isdir(self._place(path)):
            raise InputError(f"{path} is a directory, not a file")

    def _put_in_place(self, upload: Path, path: DataPath) -> None:
        self._check_target(path)
        place = self._place(path)
        os.replace(upload, place)
        sync_directory(os.path.dirname(place))

    def _open(self, path: DataPath) -> OpenFile:
        if self._stat(path).directory:
            raise InputError(f"{path} is a directory, not a file")
        try:
            return OpenFile(self._system.open(self._place(path), "rb"), path.name)
        except FileNotFoundError as error:
            raise NoSuchData(f"there is nothing at {path}") from error

    def _forget_sessions(self, seconds: float) -> None:
        for session in (self._root / ".session").glob("*"):
            latest = max(os.stat(directory).st_mtime for directory, _, _ in os.walk(session))
            if latest < time.time() - seconds:
                self._system.rm(str(session), recursive=True)

    def _delete(self, path: DataPath, force: bool) -> int:
        place = self._place(path)
        if not self._stat(path).directory:
            self._system.rm_file(place)
            return 1
        files = len(self._system.find(place))
        if self._system.ls(place) and not force:
            raise InputError(f"{path} is not empty; delete it with force=true")
        self._system.rm(place, recursive=True)
        return files


class OpenFile:
    """A file that stays as it was when it was opened."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        found = os.fstat(file.fileno())
        self.entry = Entry(
            name=name,
            directory=False,
            size=found.st_size,
            modified_at=found.st_mtime,
            sha256=_digest(file.fileno()),
        )

    async def read(self, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes from there on, all or so many; closes it behind them."""
        left = self.entry.size - offset if length is None else length
        try:
            await in_thread(self._file.seek, offset)
            while left > 0 and (chunk := await in_thread(self._file.read, min(left, _CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk
        finally:
            self.close()

    def fileno(self) -> int:
        """The descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Read no more."""
        self._file.close()


def _keep_digest(upload: Path, sha256: str) -> None:
    # It moves with the file, so that the two cannot disagree. Not every file system has such attributes.
    with contextlib.suppress(OSError):
        os.setxattr(upload, _DIGEST, sha256.encode())


def _digest(file: str | int) -> str:
    try:
        return os.getxattr(file, _DIGEST).decode()
    except OSError:
        return ""


def _entry(info: dict[str, Any]) -> Entry:
    directory = info["type"] == "directory"
    return Entry(
        name=os.path.basename(info["name"]),
        directory=directory,
        size=0 if directory else info["size"],
        modified_at=info["mtime"],
    )


def _disk_error(error: OSError, path: DataPath) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("the disk that holds hosted data is full")
    if isinstance(error, FileNotFoundError):
        return NoSuchData(f"the directory of {path} is gone")
    return error
