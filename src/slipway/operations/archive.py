"""A backup's format, 1: a tar archive that tells at its front what it is and at its end what must be in it.

    slipway-backup.json    format, program, data directory, formats of store and journal
    data/…                 files, links and directories of the data directory; the store as data/store.db
    manifest.json          every file with its size and SHA-256, every link with its target

The manifest stands at the end, so that a cut archive has none.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import BinaryIO

import msgspec

FORMAT = 1
HEADER, MANIFEST, DATA = "slipway-backup.json", "manifest.json", "data/"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is of."""

    format: int
    slipway: str  # the program's version
    created_at: float  # Unix seconds, UTC: the moment of its store
    root: str  # the data directory that it was taken from
    schema: str  # the store's revision
    journal_format: int


class File(msgspec.Struct, frozen=True):
    """A file as it must be."""

    size: int
    sha256: str  # hexadecimal


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All that is in an archive, by path below the data directory."""

    files: dict[str, File]
    links: dict[str, str]
    directories: list[str]


class ArchiveWriter:
    """Appends to an archive. Paths are relative to the data directory."""

    def __init__(self, out: BinaryIO, header: Header) -> None:
        self._tar = tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)
        self._files: dict[str, File] = {}
        self._links: dict[str, str] = {}
        self._directories: list[str] = []
        self._small(HEADER, msgspec.json.encode(header))

    @property
    def files(self) -> int:
        """How many there are so far."""
        return len(self._files)

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(file.size for file in self._files.values())

    def add(self, name: str, path: Path, length: int | None = None) -> None:
        """A file, link or directory; of a file the first `length` bytes. Raises OSError.

        The file may be replaced meanwhile: what was opened is what is copied.
        """
        if path.is_symlink():
            self._link(name, path)
        elif path.is_dir():
            self._directories.append(name)
            self._tar.addfile(_info(name, path.stat(), tarfile.DIRTYPE))
        else:
            with path.open("rb") as file:
                self._file(name, file, length)

    def close(self) -> Manifest:
        """Append the manifest."""
        manifest = Manifest(files=self._files, links=self._links, directories=self._directories)
        self._small(MANIFEST, msgspec.json.encode(manifest))
        self._tar.close()
        return manifest

    def _file(self, name: str, file: BinaryIO, length: int | None) -> None:
        status = os.fstat(file.fileno())
        info = _info(name, status, tarfile.REGTYPE)
        info.size = status.st_size if length is None else length
        reader = _Hashing(file)
        self._tar.addfile(info, reader)
        self._files[name] = File(info.size, reader.digest.hexdigest())

    def _link(self, name: str, path: Path) -> None:
        info = _info(name, path.lstat(), tarfile.SYMTYPE)
        info.linkname = self._links[name] = os.readlink(path)
        self._tar.addfile(info)

    def _small(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o600
        self._tar.addfile(info, io.BytesIO(data))


def _info(name: str, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(DATA + name)
    info.type, info.mode, info.mtime = kind, status.st_mode & 0o777, status.st_mtime
    return info


class _Hashing:
    """Reads a file and hashes what is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data
