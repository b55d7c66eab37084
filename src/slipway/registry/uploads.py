"""Receiving a file in threads: the event loop never waits for the disk, and one piece is in memory at a time.

What is written goes to the disk at once, a piece at a time. Left to the kernel it goes there by the second's worth,
and whoever syncs the record of a call meanwhile waits behind it: 7 ms where a piece holds it up for 0.4.
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
from typing import BinaryIO, ParamSpec, Protocol, TypeVar

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
_buffer = memoryview(bytearray(_GATHERED_BYTES))  # the writer's


class Written(msgspec.Struct, frozen=True):
    """What an upload left."""

    size: int
    sha256: str  # hexadecimal


class Upload:
    """A new file that grows piece by piece, in the order of the calls; one is awaited before the next."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0

    @property
    def written(self) -> Written:
        """What is there."""
        return Written(self._size, self._digest.hexdigest())

    async def append(self, chunks: list[bytes]) -> None:
        """Write them at the end."""
        await in_executor(_writer, functools.partial(self._append, chunks))

    async def fill(self, receive: Callable[[memoryview], int], most: int) -> int:
        """Write what `receive` puts into the buffer that it is given, of `most` bytes or less; how many these were.

        It is called in the thread that writes.
        """
        return await in_executor(_writer, functools.partial(self._fill, receive, most))

    def _append(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._digest.update(chunk)
        size = sum(map(len, chunks))
        written = os.pwritev(self._file.fileno(), chunks, self._size)
        if written < size:  # a disk that is almost full; what is wrong with it shows in the second attempt
            self._write(memoryview(b"".join(chunks))[written:], self._size + written)
        self._flush(size)

    def _fill(self, receive: Callable[[memoryview], int], most: int) -> int:
        data = _buffer[: receive(_buffer[:most])]
        self._digest.update(data)
        self._write(data, self._size)
        self._flush(len(data))
        return len(data)

    def _write(self, data: memoryview, offset: int) -> None:
        while data:
            written = os.pwrite(self._file.fileno(), data, offset)
            data, offset = data[written:], offset + written

    def _flush(self, size: int) -> None:
        # Whether it came there is asked by fsync, at the end.
        if size:
            _sync_file_range(self._file.fileno(), self._size, size, _WHOLE_STEP)
        self._size += size


class Body(Protocol):
    """What a client sends."""

    async def write_to(self, upload: Upload) -> None:
        """Write all of it."""


class Chunks:
    """A body that comes in pieces."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def write_to(self, upload: Upload) -> None:
        """As many at a time as are worth a thread's while; as they are, for joining them would cost the loop more."""
        gathered: list[bytes] = []
        size = 0
        async for chunk in self._chunks:
            gathered.append(chunk)
            size += len(chunk)
            if size >= _GATHERED_BYTES or len(gathered) == _MOST_CHUNKS:
                await upload.append(gathered)
                gathered, size = [], 0
        await upload.append(gathered)


async def receive(path: Path, body: Body) -> Written:
    """Write it to a new file and sync that."""
    file = await in_thread(_create, path)
    try:
        upload = Upload(file)
        await body.write_to(upload)
        await in_thread(os.fsync, file.fileno())
    finally:
        file.close()
    return upload.written


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As asyncio.to_thread; when cancelled it first waits for the thread, which may still use an open file."""
    return await in_executor(None, functools.partial(function, *args, **kwargs))


async def in_executor(executor: Executor | None, function: Callable[[], T]) -> T:
    """Call it in a thread of the executor; when cancelled it first waits for the thread."""
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
