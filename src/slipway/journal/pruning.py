"""Drops a journal's oldest segments. What was dropped stands in the ledger, so that the rest verifies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from slipway.journal.format import HEADER_SIZE, decode_header, payload_path, segments, writers
from slipway.journal.reader import Cursor, read_from
from slipway.journal.records import EventRecord

VERB = "journal.prune"
TOOLS = "operations"  # the writer whose events say what was dropped; nothing of it ever is
_KEPT_SEGMENTS = 2  # the one that is written, and the one that recovery may look into


class Prunable(NamedTuple):
    """A writer's oldest segments."""

    writer: str
    paths: list[Path]  # oldest first
    sequence: int  # of their last frame
    head: bytes  # its hash

    def detail(self) -> dict[str, str]:
        """What the event that permits it says."""
        return {"writer": self.writer, "sequence": str(self.sequence), "hash": self.head.hex()}

    def remove(self) -> None:
        """Oldest first: whatever is left after a crash is one chain. Its event must be on disk before."""
        for path in self.paths:
            payload_path(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def prunable(directory: Path, before: float, counted: Mapping[str, Cursor]) -> list[Prunable]:
    """Closed segments that were last written before a time and that the observer has counted."""
    found = []
    for writer in writers(directory):
        if writer == TOOLS:
            continue
        paths = segments(directory / writer)
        passed = counted.get(writer, Cursor()).segment
        old: list[Path] = []
        for path in paths[:-_KEPT_SEGMENTS]:
            if int(path.stem) >= passed or path.stat().st_mtime >= before:
                break
            old.append(path)
        if old:
            following = paths[len(old)]
            with following.open("rb") as file:
                header = decode_header(file.read(HEADER_SIZE), following)
            found.append(Prunable(writer, old, header.first_sequence - 1, header.previous))
    return found


def old_payloads(directory: Path, before: float) -> list[Path]:
    """Payloads beside closed segments that were last written before a time: the chain holds without them."""
    closed = [path for writer in writers(directory) for path in segments(directory / writer)[:-_KEPT_SEGMENTS]]
    beside = [payload_path(path) for path in closed if path.stat().st_mtime < before]
    return [path for path in beside if path.exists()]


def pruned(directory: Path) -> dict[str, tuple[int, bytes]]:
    """For each writer the last frame that was dropped with leave, and its hash."""
    found: dict[str, tuple[int, bytes]] = {}
    cursor = Cursor()
    while True:
        entries, after = read_from(directory, TOOLS, cursor)
        for entry in entries:
            if isinstance(entry.record, EventRecord) and entry.record.verb == VERB:
                detail = entry.record.detail
                found[detail["writer"]] = (int(detail["sequence"]), bytes.fromhex(detail["hash"]))
        if after == cursor:
            return found
        cursor = after
