"""Hosted data on the local file system."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slipway.errors import AlreadyExists, DataDirectoryUnusable, InputError, NoSuchData
from slipway.registry.files import Files
from slipway.registry.paths import parse_path
from slipway.registry.uploads import Chunks
from tests.conditions import eventually

DIRECTORY = parse_path("data://me/models", "me")
FILE = DIRECTORY.child("a.pkl")


@pytest.fixture
async def files(tmp_path: Path) -> Files:
    """Hosted data with one directory."""
    made = Files(tmp_path / "files")
    await made.make_directory(DIRECTORY)
    return made


def _chunks(*parts: bytes) -> Chunks:
    async def each() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return Chunks(each())


async def _content(files: Files, offset: int = 0) -> bytes:
    return b"".join([chunk async for chunk in files.read_stream(FILE, offset)])


async def test_what_is_written_is_read_back_from_any_offset(files: Files) -> None:
    written = await files.write(FILE, _chunks(b"hello ", b"", b"world"))
    assert (written.size, written.sha256) == (11, hashlib.sha256(b"hello world").hexdigest())
    assert await _content(files) == b"hello world"
    assert await _content(files, offset=6) == b"world"
    assert (await files.stat(FILE)).size == 11


async def test_an_empty_file_is_a_file(files: Files) -> None:
    assert (await files.write(FILE, _chunks())).size == 0
    assert await files.exists(FILE)
    assert await _content(files) == b""


async def test_a_directory_lists_its_content_by_name(files: Files) -> None:
    await files.make_directory(DIRECTORY.child("inner"))
    await files.write(FILE, _chunks(b"abc"))
    entries = await files.list(DIRECTORY)
    assert [(entry.name, entry.directory, entry.size) for entry in entries] == [
        ("a.pkl", False, 3),
        ("inner", True, 0),
    ]
    assert entries[0].modified_at > 0


async def test_an_upload_that_breaks_off_leaves_the_old_file_and_nothing_else(files: Files, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"new"
        raise ConnectionError("the client is gone")

    await files.write(FILE, _chunks(b"old"))
    with pytest.raises(ConnectionError):
        await files.write(FILE, Chunks(broken()))
    assert await _content(files) == b"old"
    assert list((tmp_path / "files" / ".uploads").iterdir()) == []


async def test_an_upload_that_is_cancelled_leaves_the_old_file_and_nothing_else(files: Files, tmp_path: Path) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"new"
        started.set()
        await asyncio.Event().wait()

    await files.write(FILE, _chunks(b"old"))
    task = asyncio.create_task(files.write(FILE, Chunks(endless())))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _content(files) == b"old"
    assert list((tmp_path / "files" / ".uploads").iterdir()) == []


_UPLOADER = """
import asyncio, sys
from pathlib import Path
from slipway.registry.files import Files
from slipway.registry.paths import parse_path
from slipway.registry.uploads import Chunks

async def endless():
    while True:
        yield b"new" * 1000
        print("chunk", flush=True)

files = Files(Path(sys.argv[1]))
asyncio.run(files.write(parse_path("me/models/a.pkl", "me"), Chunks(endless())))
"""


async def test_a_crash_in_an_upload_leaves_the_old_file_and_the_next_start_cleans_up(tmp_path: Path) -> None:
    root = tmp_path / "files"
    files = Files(root)
    await files.make_directory(DIRECTORY)
    await files.write(FILE, _chunks(b"old"))
    with subprocess.Popen([sys.executable, "-c", _UPLOADER, str(root)], stdout=subprocess.PIPE) as uploader:
        assert uploader.stdout is not None
        assert uploader.stdout.readline() == b"chunk\n"
        uploader.send_signal(signal.SIGKILL)
    assert len(eventually(lambda: list((root / ".uploads").iterdir()))) == 1
    files = Files(root)
    assert list((root / ".uploads").iterdir()) == []
    assert await _content(files) == b"old"


async def test_a_large_upload_and_download_take_little_memory(files: Files) -> None:
    block, count = b"x" * (1 << 20), 40

    async def large() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield block

    tracemalloc.start()
    await files.write(FILE, Chunks(large()))
    size = sum([len(chunk) async for chunk in files.read_stream(FILE)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == count << 20
    assert peak < 8 << 20


async def test_a_file_is_deleted_and_a_full_directory_only_by_force(files: Files) -> None:
    await files.make_directory(DIRECTORY.child("inner"))
    await files.write(DIRECTORY.child("inner").child("b"), _chunks(b"b"))
    await files.write(FILE, _chunks(b"a"))
    with pytest.raises(InputError, match="force"):
        await files.delete(DIRECTORY)
    assert await files.delete(FILE) == 1
    assert await files.delete(DIRECTORY, force=True) == 1
    assert not await files.exists(DIRECTORY)


async def test_an_empty_directory_is_deleted_without_force(files: Files) -> None:
    assert await files.delete(DIRECTORY) == 0
    with pytest.raises(NoSuchData):
        await files.delete(DIRECTORY)


async def test_what_is_missing_is_named(files: Files) -> None:
    with pytest.raises(NoSuchData, match=r"data://me/models/a\.pkl"):
        await files.stat(FILE)
    with pytest.raises(NoSuchData):
        await _content(files)
    with pytest.raises(NoSuchData):
        await files.write(parse_path("me/absent/a", "me"), _chunks(b"a"))
    with pytest.raises(NoSuchData):
        await files.make_directory(parse_path("me/absent/inner", "me"))
    with pytest.raises(NoSuchData):
        await files.list(parse_path("me/absent", "me"))


async def test_a_file_is_no_directory_and_a_directory_no_file(files: Files) -> None:
    await files.write(FILE, _chunks(b"a"))
    await files.make_directory(DIRECTORY.child("inner"))
    with pytest.raises(InputError, match="is a file"):
        await files.list(FILE)
    with pytest.raises(InputError, match="is a file"):
        await files.write(FILE.child("b"), _chunks(b"b"))
    with pytest.raises(InputError, match="is a file"):
        await files.make_directory(FILE.child("b"))
    with pytest.raises(InputError, match="is a directory"):
        await files.write(DIRECTORY.child("inner"), _chunks(b"b"))
    with pytest.raises(InputError, match="is a directory"):
        _ = [chunk async for chunk in files.read_stream(DIRECTORY)]
    with pytest.raises(NoSuchData):
        await files.stat(FILE.child("b"))


async def test_a_directory_is_made_once(files: Files) -> None:
    with pytest.raises(AlreadyExists):
        await files.make_directory(DIRECTORY)


async def test_a_file_must_lie_in_a_directory(files: Files) -> None:
    with pytest.raises(InputError, match="files lie in directories"):
        await files.write(parse_path("me/a.pkl", "me"), _chunks(b"a"))


def test_a_root_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(DataDirectoryUnusable, match="files"):
        Files(tmp_path / "files" / "below")


async def test_a_reader_keeps_the_file_that_it_began_on(files: Files) -> None:
    await files.write(FILE, _chunks(b"a long old file"))
    file = await files.open(FILE)
    await files.write(FILE, _chunks(b"new"))
    assert file.entry.size == 15
    assert b"".join([chunk async for chunk in file.read(2, 4)]) == b"long"
    assert await _content(files) == b"new"


async def test_the_digest_moves_with_the_file(files: Files) -> None:
    written = await files.write(FILE, _chunks(b"hello"))
    entry = await files.stat(FILE)
    assert entry.sha256 in (written.sha256, "")  # not every file system keeps attributes
    if entry.sha256:
        file = await files.open(FILE)
        assert file.entry.sha256 == written.sha256
        file.close()


async def test_a_link_is_neither_listed_nor_followed(files: Files, tmp_path: Path) -> None:
    await files.write(FILE, _chunks(b"hello"))
    secret = tmp_path / "secret"
    secret.write_text("secret")
    place = next(tmp_path.rglob(FILE.name)).parent
    (place / "link").symlink_to(secret)
    (place / "away").symlink_to(tmp_path)
    assert [entry.name for entry in await files.list(DIRECTORY)] == [FILE.name]
    for path in (DIRECTORY.child("link"), DIRECTORY.child("away").child("secret")):
        with pytest.raises(NoSuchData):
            await files.open(path)


async def test_data_of_a_call_goes_when_it_has_not_changed_for_long(files: Files) -> None:
    path = parse_path(".session/note", "ann", call_id="01920f5a")
    await files.write(path, _chunks(b"hello"))
    await files.forget_sessions(3600)
    assert await files.exists(path)
    await files.forget_sessions(-1)
    assert not await files.exists(path)
