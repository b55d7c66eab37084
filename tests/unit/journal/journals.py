"""Writes real journals for the tests of this folder."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slipway.ids import new_id_bytes
from slipway.journal.format import Frame, segments
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord, EventRecord, Payload, Record
from slipway.journal.scan import SegmentScan
from slipway.journal.verify import verify
from slipway.journal.writer import JournalWriter

SEGMENT = 64 * 1024


def call(number: int, **changes: Any) -> CallRecord:
    """A call record; its algorithm tells it apart."""
    identity = new_id_bytes()
    values = {"time": time.time(), "call_id": identity, "root_id": identity, "algorithm": f"ann/a{number}"}
    return CallRecord(**{**values, **changes})


def open_writer(directory: Path, name: str = "w", **options: Any) -> JournalWriter:
    """A writer on `directory/name` that is running; close it."""
    writer = JournalWriter(directory / name, name, **{"segment_bytes": SEGMENT, **options})
    writer.start(asyncio.get_running_loop())
    return writer


async def append(writer: JournalWriter, record: Record, payload: Payload | None = None) -> str:
    """Append and wait for the outcome: `durable` or `failed`."""
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    writer.append(record, payload, lambda: outcome.set_result("durable"), lambda: outcome.set_result("failed"))
    return await outcome


async def write(directory: Path, records: list[CallRecord], name: str = "w", **options: Any) -> None:
    """Append records with payloads (their algorithm as input, `r` as result), one frame each."""
    writer = open_writer(directory, name, **options)
    for record in records:
        payload = Payload(call_id=record.call_id, input=record.algorithm.encode(), result=b"r", stdout=b"printed")
        assert await append(writer, record, payload) == "durable"
    writer.close()


def names(directory: Path) -> list[str]:
    """The algorithms of all call records, in order."""
    return [entry.record.algorithm for entry in read_all(directory) if isinstance(entry.record, CallRecord)]


def events(directory: Path) -> list[EventRecord]:
    """All events, in order."""
    return [entry.record for entry in read_all(directory) if isinstance(entry.record, EventRecord)]


def problems(directory: Path, public_key: Path | None = None) -> list[str]:
    """What `verify` finds in all chains."""
    return [problem for report in verify(directory, public_key or directory / "none") for problem in report.problems]


def segment(directory: Path, number: int = 1, name: str = "w") -> Path:
    """A writer's segment."""
    return segments(directory / name)[number - 1]


def frames(path: Path) -> list[Frame]:
    """The frames of a segment."""
    return list(SegmentScan(path))


def change(path: Path, edit: Callable[[bytearray], None]) -> None:
    """Change a file's bytes in place."""
    data = bytearray(path.read_bytes())
    edit(data)
    path.write_bytes(data)


def flip(path: Path, offset: int) -> None:
    """Change one bit."""

    def edit(data: bytearray) -> None:
        data[offset] ^= 1

    change(path, edit)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Put other bytes at a place."""
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), data, offset)
