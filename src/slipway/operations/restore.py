"""A backup becomes a data directory: read and checked beside its place, made to fit there, then renamed, or nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

import msgspec

from slipway.errors import BackupDamaged, DataDirectoryUnusable, NewerFormat
from slipway.ids import new_id
from slipway.journal.format import FORMAT as JOURNAL_FORMAT
from slipway.operations import homing
from slipway.operations.archive import DATA, FORMAT, HEADER, MANIFEST, File, Header, Manifest
from slipway.operations.exclusive import note
from slipway.settings import Settings

_CHUNK = 2**20


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    root: str
    header: Header
    files: int
    warnings: list[str]


async def restore(source: Path, settings: Settings) -> Restored:
    """Make the data directory from a backup. It must be empty, or not there.

    Raises DataDirectoryUnusable, NewerFormat, BackupDamaged, StartupError, OSError: nothing is in place then.
    """
    root = settings.root
    _check_empty(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    for leftover in root.parent.glob(f".{root.name}.restoring-*"):
        shutil.rmtree(leftover)
    staging = root.parent / f".{root.name}.restoring-{new_id()}"
    staging.mkdir(mode=0o700)
    try:
        unpacked = _Unpacking(staging)
        header = unpacked.run(source)
        warnings = await homing.make_at_home(staging, header, settings)
        await note(msgspec.structs.replace(settings, data=str(staging)), "restore", str(source), slipway=header.slipway)
        shutil.rmtree(staging / "run", ignore_errors=True)
        unpacked.set_modes()
        os.sync()
        os.rename(staging, root)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Restored(root=str(root), header=header, files=unpacked.count, warnings=warnings)


class _Unpacking:
    """Writes an archive's content below a directory, and compares it with the archive's manifest."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, File] = {}
        self._links: dict[str, str] = {}
        self._modes: dict[str, int] = {}  # of directories

    @property
    def count(self) -> int:
        """Files."""
        return len(self._files)

    def run(self, source: Path) -> Header:
        """Raises NewerFormat, BackupDamaged, OSError."""
        try:
            with tarfile.open(source, mode="r|") as archive:
                header, manifest = self._members(archive)
        except (tarfile.TarError, msgspec.MsgspecError, EOFError) as error:
            raise BackupDamaged(f"{source} is no whole backup: {error}") from error
        if manifest is None:
            raise BackupDamaged(f"{source} is no whole backup: its end is missing")
        self._compare(source, manifest)
        for name, leads_to in self._links.items():
            # Last, so that no file was written through one.
            os.symlink(leads_to, self._directory / name)
        return header

    def set_modes(self) -> None:
        """Directories that were read-only are so again."""
        for name in sorted(self._modes, reverse=True):
            os.chmod(self._directory / name, self._modes[name])

    def _members(self, archive: tarfile.TarFile) -> tuple[Header, Manifest | None]:
        first = archive.next()
        if first is None or first.name != HEADER:
            raise BackupDamaged(f"{archive.name!s} is no backup of a Slipway")
        header = msgspec.json.decode(_all(archive, first), type=Header)
        _check_formats(header)
        manifest = None
        for member in archive:
            if member.name == HEADER:
                continue  # iterating begins at the front again
            if member.name == MANIFEST:
                manifest = msgspec.json.decode(_all(archive, member), type=Manifest)
            else:
                self._member(archive, member)
        return header, manifest

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix(DATA)
        path = PurePosixPath(name)
        if not member.name.startswith(DATA) or path.is_absolute() or ".." in path.parts:
            raise BackupDamaged(f"the backup has a member of the name {member.name!r}")
        place = self._directory / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if member.isdir():
            place.mkdir(exist_ok=True)
            self._modes[name] = member.mode
        elif member.issym():
            self._links[name] = member.linkname
        else:
            self._files[name] = _write(archive, member, place)

    def _compare(self, source: Path, manifest: Manifest) -> None:
        for name in sorted({*manifest.files, *self._files}):
            if manifest.files.get(name) != self._files.get(name):
                raise BackupDamaged(f"{source} is damaged: {name} is not what its manifest says")
        if manifest.links != self._links or set(manifest.directories) != set(self._modes):
            raise BackupDamaged(f"{source} is damaged: its links or directories are not what its manifest says")


def _check_empty(root: Path) -> None:
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataDirectoryUnusable(f"{root} is not empty: restore into another directory, or move it away")


def _check_formats(header: Header) -> None:
    if header.format > FORMAT:
        raise NewerFormat(f"the backup has format {header.format}, this Slipway knows {FORMAT}: upgrade this one")
    if header.journal_format > JOURNAL_FORMAT:
        raise NewerFormat(
            f"the backup's journal has format {header.journal_format}, this Slipway knows {JOURNAL_FORMAT}"
        )


def _all(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> File:
    file, digest = archive.extractfile(member), hashlib.sha256()
    assert file is not None
    with place.open("xb") as out:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
        os.chmod(out.fileno(), member.mode)
    os.utime(place, (member.mtime, member.mtime))
    return File(member.size, digest.hexdigest())
