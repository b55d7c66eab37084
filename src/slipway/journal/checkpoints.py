"""Signed checkpoints: one Ed25519 signature binds the heads of all writers, every second in which one moved.

They are events in a series of their own, `checkpoints`: resource `heads`, detail writer → `sequence:hash`, and the
signature over the canonical text of these. The public key is all that a third party needs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from slipway.ids import new_id_bytes
from slipway.journal.format import FRAME, HEADER_SIZE, frame_at, segments
from slipway.journal.reader import read_all, writers
from slipway.journal.records import EventRecord
from slipway.journal.writer import JournalWriter

CHECKPOINTS = "checkpoints"
_SIGNATURE = "signature"

Heads = dict[str, tuple[int, bytes]]  # writer → sequence and hash of its last frame


class Checkpointer:
    """Follows the heads of all writers and signs them."""

    def __init__(self, directory: Path, key_file: Path) -> None:
        self._directory = directory
        self._key = signing_key(key_file)
        self._heads: Heads = {}
        self._tails: dict[str, _Tail] = {}

    async def run(self, journal: JournalWriter, seconds: float = 1.0) -> None:
        """Write a checkpoint whenever a head has moved, for ever."""
        while True:
            heads = self._read_heads()
            if heads != self._heads:
                self._heads = heads
                journal.append(self._signed(heads), None, _nothing, _nothing)
            await asyncio.sleep(seconds)

    def _read_heads(self) -> Heads:
        heads: Heads = {}
        for writer in writers(self._directory):
            if writer == CHECKPOINTS:
                continue
            tail = self._tails.setdefault(writer, _Tail(self._directory / writer))
            head = tail.head()
            if head is not None:
                heads[writer] = head
        return heads

    def _signed(self, heads: Heads) -> EventRecord:
        detail = _detail(heads)
        detail[_SIGNATURE] = self._key.sign(_canonical(detail)).hex()
        return EventRecord(
            time=time.time(),
            event_id=new_id_bytes(),
            actor="control",
            verb="ledger.checkpoint",
            resource="heads",
            detail=detail,
        )


class _Tail:
    """Walks one writer's frames by their lengths; hashes the last one only."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segment: Path | None = None
        self._offset = HEADER_SIZE
        self._head: tuple[int, bytes] | None = None

    def head(self) -> tuple[int, bytes] | None:
        """Sequence and hash of the last whole frame."""
        for path in segments(self._directory):
            if self._segment is not None and path.name < self._segment.name:
                continue
            if path != self._segment:
                self._segment, self._offset = path, HEADER_SIZE
            self._walk(path)
        return self._head

    def _walk(self, path: Path) -> None:
        last = -1
        with path.open("rb") as file:
            offset = self._offset
            while True:
                file.seek(offset)
                head = file.read(FRAME.size)
                if len(head) < FRAME.size or head[:8] == bytes(8):
                    break
                last, offset = offset, offset + 8 + int.from_bytes(head[:4], "little")
            if last < 0:
                return
            file.seek(last)
            frame = frame_at(file.read(offset - last), 0)
        if frame is not None:
            self._head = (frame.sequence, frame.hash)
            self._offset = offset


def signing_key(file: Path) -> Ed25519PrivateKey:
    """The ledger's private key, made at first use with mode 0600; its public key lies beside it as `.pub`."""
    if not file.exists():
        key = Ed25519PrivateKey.generate()
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.with_suffix(".pub").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
    key_object = load_pem_private_key(file.read_bytes(), None)
    assert isinstance(key_object, Ed25519PrivateKey)
    return key_object


def checked_heads(directory: Path, public_key: Path, problems: list[str]) -> Iterator[Heads]:
    """The heads of every checkpoint; adds to `problems` those whose signature is wrong."""
    key = load_pem_public_key(public_key.read_bytes())
    assert isinstance(key, Ed25519PublicKey)
    for entry in read_all(directory):
        record = entry.record
        if entry.writer != CHECKPOINTS or not isinstance(record, EventRecord) or record.verb != "ledger.checkpoint":
            continue
        detail = dict(record.detail)
        signature = bytes.fromhex(detail.pop(_SIGNATURE, ""))
        try:
            key.verify(signature, _canonical(detail))
        except InvalidSignature:
            problems.append(f"frame {entry.sequence}: the checkpoint's signature is wrong")
            continue
        yield _heads(detail)


def _detail(heads: Heads) -> dict[str, str]:
    return {writer: f"{sequence}:{digest.hex()}" for writer, (sequence, digest) in heads.items()}


def _heads(detail: dict[str, str]) -> Heads:
    parts = {writer: text.split(":") for writer, text in detail.items()}
    return {writer: (int(sequence), bytes.fromhex(digest)) for writer, (sequence, digest) in parts.items()}


def _canonical(detail: dict[str, str]) -> bytes:
    return "\n".join(f"{writer} {detail[writer]}" for writer in sorted(detail)).encode()


def _nothing() -> None:
    pass
