"""Receiving a file in threads: the event loop never waits for the disk, and one chunk is in memory at a time."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

import msgspec

P = ParamSpec("P")
T = TypeVar("T")


class Written(msgspec.Struct, frozen=True):
    """What an upload left."""

    size: int
    sha256: str  # hexadecimal


async def receive(upload: Path, chunks: AsyncIterator[bytes]) -> Written:
    """Write the chunks to a new file and sync it."""
    digest, size = hashlib.sha256(), 0
    file = await in_thread(_create, upload)
    try:
        async for chunk in chunks:
            await in_thread(_append, file, chunk, digest)
            size += len(chunk)
        await in_thread(os.fsync, file.fileno())
    finally:
        file.close()
    return Written(size, digest.hexdigest())


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As asyncio.to_thread; when cancelled it first waits for the thread, which may still use an open file."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def sync_directory(directory: str) -> None:
    """Make what was created or renamed in a directory survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(upload: Path) -> BinaryIO:
    return open(upload, "xb", buffering=0)


def _append(file: BinaryIO, chunk: bytes, digest: hashlib._Hash) -> None:
    digest.update(chunk)
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]
