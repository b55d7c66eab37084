from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.errors import DiskFull
from slipway.journal.payloads import Payloads
from slipway.journal.reader import read_all
from slipway.journal.records import Payload
from slipway.journal.writer import JournalWriter
from tests.conditions import eventually_async
from tests.unit.journal.journals import append, call, names, open_writer, problems, write

SEGMENT = 256 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, where this user may mount one."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", directory], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True)


async def test_a_full_disk_refuses_calls_damages_nothing_and_recovers_by_itself(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(2 * 2**20))
    writer = open_writer(small_disk, segment_bytes=SEGMENT, payload_limit_bytes=2**20)
    durable: list[str] = []
    while writer.healthy:
        record = call(len(durable))
        payload = Payload(call_id=record.call_id, input=os.urandom(100_000))
        if await append(writer, record, payload) == "durable":
            durable.append(record.algorithm)

    with pytest.raises(DiskFull):
        await writer.write(call(1000))
    assert names(small_disk) == durable
    assert len(durable) > 5
    assert problems(small_disk) == []
    filler.unlink()
    await eventually_async(lambda: _healthy(writer))

    await writer.write(call(2000))
    writer.close()
    assert names(small_disk) == [*durable, "ann/a2000"]
    assert problems(small_disk) == []
    payloads = Payloads(small_disk)
    assert [payloads.find(entry) is not None for entry in read_all(small_disk)] == [True] * len(durable) + [False]


async def test_a_journal_cannot_be_opened_on_a_full_disk_and_is_not_damaged(small_disk: Path) -> None:
    await write(small_disk, [call(1)], segment_bytes=SEGMENT)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass

    with pytest.raises(OSError, match="No space left"):
        open_writer(small_disk, "v", segment_bytes=SEGMENT)

    assert list((small_disk / "v").glob("0*")) == []
    await write(small_disk, [], segment_bytes=SEGMENT)
    assert names(small_disk) == ["ann/a1"]
    (small_disk / "filler").unlink()
    await write(small_disk, [call(2)], "v", segment_bytes=SEGMENT)
    assert problems(small_disk) == []


async def _healthy(writer: JournalWriter) -> bool:
    return writer.healthy
