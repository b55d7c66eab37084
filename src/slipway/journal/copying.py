"""What of journals can be copied while they are written, so that the copy verifies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slipway.errors import JournalDamaged
from slipway.journal.format import CHECKPOINTS, payload_path, segments, writers
from slipway.journal.payloads import payload_end
from slipway.journal.scan import SegmentScan


class Part(NamedTuple):
    """The first bytes of a file, which nobody will change any more."""

    path: Path
    length: int


def settled_parts(directory: Path) -> Iterator[Part]:
    """Segments and payloads of all writers below `directory`, up to the last whole frame.

    Checkpoints come first: a head that they have signed was on disk before, so that the segments read after them
    hold it.
    """
    for writer in sorted(writers(directory), key=lambda name: (name != CHECKPOINTS, name)):
        found = segments(directory / writer)
        for path in found:
            yield from _closed(path) if path != found[-1] else _open(path)


def _closed(path: Path) -> Iterator[Part]:
    for file in (path, payload_path(path)):
        with contextlib.suppress(FileNotFoundError):
            yield Part(file, file.stat().st_size)


def _open(path: Path) -> Iterator[Part]:
    """The segment that is being written."""
    try:
        scan = SegmentScan(path)
    except JournalDamaged:
        yield from _closed(path)
        return
    sequence = scan.header.first_sequence - 1
    while True:
        # In this order: a whole frame in the tail then has whole frames before it, unless these are damaged.
        tail, before = scan.tail(), scan.offset
        for frame in scan:
            sequence = frame.sequence
        if scan.offset == before:
            break
    if scan.hidden(tail, sequence) is not None:
        yield from _closed(path)  # all of it, for `verify` to judge
        return
    yield Part(path, scan.offset)
    if payload_path(path).exists():
        yield Part(payload_path(path), payload_end(path, sequence))
