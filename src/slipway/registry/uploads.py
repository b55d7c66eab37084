"""Receiving a file in threads: the event loop never waits for the disk, and one chunk is in memory at a time.

What is written goes to the disk at once, a chunk at a time. Left to the kernel it goes there by the second's worth,
and whoever syncs the record of a call meanwhile waits behind it: 7 ms where a chunk holds it up for 0.4.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

import msgspec

P = ParamSpec("P")
T = TypeVar("T")


_GATHERED_BYTES = 1 << 18
_MOST_CHUNKS = 1000  # the kernel takes no more than 1024 in one go
_WHOLE_STEP = 1 | 2 | 4  # SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE, _WAIT_AFTER
_sync_file_range = ctypes.CDLL(None, use_errno=True).sync_file_range
_sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]

# One at a time keeps the disk busy; more would only queue there, before the records of calls.
_writer = ThreadPoolExecutor(1, "upload")


class Written(msgspec.Struct, frozen=True):
    """What an upload left."""

    size: int
    sha256: str  # hexadecimal


async def receive(upload: Path, chunks: AsyncIterator[bytes]) -> Written:
    """Write the chunks to a new file and sync it."""
    digest, size = hashlib.sha256(), 0
    file = await in_thread(_create, upload)
    try:
        async for gathered in _gathered(chunks):
            size += await _in_executor(_writer, functools.partial(_append, file, gathered, digest, size))
        await in_thread(os.fsync, file.fileno())
    finally:
        file.close()
    return Written(size, digest.hexdigest())


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As asyncio.to_thread; when cancelled it first waits for the thread, which may still use an open file."""
    return await _in_executor(None, functools.partial(function, *args, **kwargs))


async def _in_executor(executor: Executor | None, function: Callable[[], T]) -> T:
    work = asyncio.get_running_loop().run_in_executor(executor, function)
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


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """As many at a time as are worth a thread's while; as they are, for joining them would cost the loop more."""
    gathered: list[bytes] = []
    size = 0
    async for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= _GATHERED_BYTES or len(gathered) == _MOST_CHUNKS:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


def _append(file: BinaryIO, chunks: list[bytes], digest: hashlib._Hash, offset: int) -> int:
    """Write them there; their size."""
    for chunk in chunks:
        digest.update(chunk)
    size = sum(map(len, chunks))
    written = os.pwritev(file.fileno(), chunks, offset)
    if written < size:  # a disk that is almost full; what is wrong with it shows in the second attempt
        rest = memoryview(b"".join(chunks))
        while written < size:
            written += os.pwrite(file.fileno(), rest[written:], offset + written)
    # Whether it came there is asked by fsync, at the end.
    _sync_file_range(file.fileno(), offset, size, _WHOLE_STEP)
    return size
