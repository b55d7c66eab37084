"""Checks every chain: each frame whole, in sequence, bound to the one before; each checkpoint signed and kept."""

from __future__ import annotations

from pathlib import Path

import msgspec

from slipway.journal.checkpoints import CHECKPOINTS, Heads, checked_heads
from slipway.journal.format import (
    GENESIS,
    HEADER_SIZE,
    JournalDamaged,
    decode_header,
    frame_at,
    is_end,
    segments,
)
from slipway.journal.reader import writers
from slipway.journal.records import decode_records


class ChainReport(msgspec.Struct, kw_only=True):
    """What was found in one writer's journal."""

    writer: str
    frames: int = 0
    records: int = 0
    head: str = ""  # hex
    problems: list[str] = []


class _Chain:
    def __init__(self, writer: str) -> None:
        self.report = ChainReport(writer=writer, problems=[])
        self.hashes: dict[int, bytes] = {}  # by sequence
        self.sequence, self.head = 0, GENESIS

    def segment(self, path: Path) -> None:
        data = path.read_bytes()
        try:
            header = decode_header(data, path)
        except JournalDamaged as error:
            self.report.problems.append(str(error))
            return
        if header.first_sequence != self.sequence + 1 or header.previous != self.head:
            self.report.problems.append(f"{path.name}: does not follow frame {self.sequence}: a segment is missing")
            self.sequence, self.head = header.first_sequence - 1, header.previous
        offset = HEADER_SIZE
        while (frame := frame_at(data, offset)) is not None:
            if frame.sequence != self.sequence + 1 or frame.previous != self.head:
                self.report.problems.append(f"{path.name} byte {offset}: frame does not follow frame {self.sequence}")
            self._take(path, offset, frame.sequence, frame.hash, frame.payload)
            offset = frame.end
        if not is_end(data, offset):
            self.report.problems.append(f"{path.name} byte {offset}: frame {self.sequence + 1} is damaged or torn")

    def _take(self, path: Path, offset: int, sequence: int, digest: bytes, payload: bytes) -> None:
        try:
            self.report.records += len(decode_records(payload))
        except msgspec.MsgspecError as error:
            self.report.problems.append(f"{path.name} byte {offset}: records cannot be read: {error}")
        self.sequence, self.head = sequence, digest
        self.hashes[sequence] = digest
        self.report.frames += 1
        self.report.head = digest.hex()


def verify(directory: Path, public_key: Path) -> list[ChainReport]:
    """One report a writer, checkpoints included; nothing is changed. Raises NewerFormat."""
    chains = {writer: _read(directory, writer) for writer in writers(directory)}
    if CHECKPOINTS in chains:
        report = chains[CHECKPOINTS].report
        for heads in checked_heads(directory, public_key, report.problems):
            _compare(heads, chains)
    return [chain.report for chain in chains.values()]


def _read(directory: Path, writer: str) -> _Chain:
    chain = _Chain(writer)
    for path in segments(directory / writer):
        chain.segment(path)
    return chain


def _compare(heads: Heads, chains: dict[str, _Chain]) -> None:
    """What a checkpoint saw must still be there: a chain that was cut shorter is found so."""
    for writer, (sequence, digest) in heads.items():
        chain = chains.get(writer)
        problem = f"frame {sequence} of {writer} is not what a checkpoint signed"
        if chain is None:
            chains[writer] = chain = _Chain(writer)
        if chain.hashes.get(sequence) != digest and problem not in chain.report.problems:
            chain.report.problems.append(problem)
