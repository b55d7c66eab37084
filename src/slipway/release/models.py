"""[models.NAME]: files that a version is served with, fetched, verified and put at `models/NAME`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from slipway.errors import BuildFailed, SlipwayError
from slipway.registry.files import Files, parse_path
from slipway.release.manifest import inside
from slipway.release.sections import ModelSection

FOLDER = "models"
_POINTER = b"version https://git-lfs.github.com/spec/"


class Digest(Protocol):
    """A hash under way, as `hashlib` makes them."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""


class Models:
    """Fetches models from hosted data and from the repository itself."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def fetch(self, name: str, model: ModelSection, directory: Path, owner: str) -> int:
        """Put one model into the version's directory; returns its size in bytes.

        `owner` owns the algorithm: only their hosted data is read. Raises BuildFailed.
        """
        scheme = model.source.partition("://")[0] if "://" in model.source else "file"
        target = directory / FOLDER / name
        target.parent.mkdir(exist_ok=True)
        if scheme == "data":
            digest = await self._download(name, model.source, target, owner)
        elif scheme == "file":
            digest = _take(name, model.source, target, directory)
        else:
            raise BuildFailed(f"[models.{name}]: {scheme}:// is not supported yet: use data:// or a file's path")
        if model.sha256 and digest != model.sha256.lower():
            raise BuildFailed(f"[models.{name}]: {model.source} has SHA-256 {digest}, not {model.sha256.lower()}")
        return target.stat().st_size

    async def _download(self, name: str, source: str, target: Path, owner: str) -> str:
        try:
            path = parse_path(source, owner)
            if path.owner != owner:
                raise BuildFailed(f"[models.{name}]: {source} belongs to {path.owner}: copy it to data://.my/…")
            digest = hashlib.sha256()
            await write(target, self._files.read_stream(path, 0), digest)
        except BuildFailed:
            raise
        except SlipwayError as error:
            raise BuildFailed(f"[models.{name}]: {source}: {error}") from error
        return digest.hexdigest()


def _take(name: str, source: str, target: Path, directory: Path) -> str:
    """A second name for a file of the checkout, which is read-only from now on: no byte is copied."""
    file = inside(directory, source.removeprefix("file://").removeprefix("file:"), f"[models.{name}]: the file")
    if not file.is_file():
        raise BuildFailed(f"[models.{name}]: the repository has no file {source}")
    if target.resolve() != file:
        if os.path.lexists(target):
            raise BuildFailed(f"[models.{name}]: the repository has another file at {FOLDER}/{name}")
        os.link(file, target)
    with file.open("rb") as content:
        if content.read(len(_POINTER)) == _POINTER:
            raise BuildFailed(
                f"[models.{name}]: {source} is only a Git LFS pointer: upload the file and name it by data://"
            )
        content.seek(0)
        return hashlib.file_digest(content, "sha256").hexdigest()


async def write(target: Path, chunks: AsyncIterator[bytes], digest: Digest) -> None:
    """Write a new file from chunks, one in memory at a time, and give each to `digest`."""
    with target.open("xb") as file:
        async for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
