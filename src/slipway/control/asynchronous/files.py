"""Inputs and results that are too large for the store, one file each below `DATA/requests`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from slipway.errors import NoSuchRequest
from slipway.ids import new_id
from slipway.registry.uploads import in_thread, sync_directory

_INLINE_BYTES = 64 * 1024  # as much lies in the store itself
_INPUT = "input"


class RequestFiles:
    """A file is on disk before the store says that it is there, and removed once the store has forgotten it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def keep_inputs(self, inputs: Sequence[tuple[str, bytes]]) -> list[bytes | None]:
        """What the store is to hold of each (request id, input): itself, or None for one that is in a file now.

        Raises OSError.
        """
        large = [(self._path(name, _INPUT), data) for name, data in inputs if len(data) > _INLINE_BYTES]
        if large:
            await in_thread(_write_all, self._root, large)
        return [None if len(data) > _INLINE_BYTES else data for _, data in inputs]

    async def keep_result(self, request_id: str, result: bytes) -> str:
        """The name of the file that holds a result now; empty for one that the store itself is to hold.

        Every outcome has a file of its own: of two, the one that is kept must not have the other's result.
        Raises OSError.
        """
        if len(result) <= _INLINE_BYTES:
            return ""
        path = self._path(request_id, f"{new_id()}.result")
        await in_thread(_write_all, self._root, [(path, result)])
        return path.name

    async def input(self, request_id: str) -> bytes:
        """An input that lies in a file; raises NoSuchRequest."""
        return await in_thread(_read, self._path(request_id, _INPUT))

    async def result(self, name: str) -> bytes:
        """A result that lies in the file of that name; raises NoSuchRequest."""
        return await in_thread(_read, self._root / name)

    async def remove(self, ids: Iterable[str]) -> None:
        """Remove the files of requests that the store has forgotten."""
        await in_thread(self._remove, set(ids))

    async def ids(self) -> set[str]:
        """The requests that have files."""
        return {_id_of(name) for name in await in_thread(os.listdir, self._root)}

    def _remove(self, ids: set[str]) -> None:
        for name in os.listdir(self._root) if ids else ():
            if _id_of(name) in ids:
                (self._root / name).unlink(missing_ok=True)

    def _path(self, request_id: str, what: str) -> Path:
        return self._root / f"{request_id}.{what}"


def _id_of(name: str) -> str:
    return name.partition(".")[0]


def _write_all(directory: Path, files: Sequence[tuple[Path, bytes]]) -> None:
    try:
        for path, data in files:
            _write(path, data)
        sync_directory(str(directory))
    except OSError:
        for path, _ in files:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NoSuchRequest(f"{path.name} is gone: it was kept for as long as results are") from error
