"""The ledger's key and what it signs: the heads of all writers at one moment."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
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

_TITLE = "slipway checkpoint 1"
_HEAD = "head:"

Heads = dict[str, tuple[int, bytes]]  # writer → sequence and hash of a frame


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What was signed."""

    time: str  # RFC 3339, UTC
    heads: Heads

    def text(self) -> bytes:
        """The bytes under the signature: title, time, then one line a writer in the order of their names."""
        lines = [f"{writer} {sequence} {digest.hex()}" for writer, (sequence, digest) in sorted(self.heads.items())]
        return "\n".join([_TITLE, self.time, *lines, ""]).encode()


class LedgerKey:
    """The private key, made at first use with mode 0600; its public key lies beside it as `.pub`."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            _write_whole(file, pem, 0o600)
        key = load_pem_private_key(file.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{file} is no Ed25519 key")
        self._key = key
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        if not public_key_file(file).exists():
            _write_whole(public_key_file(file), public, 0o644)
        self._fingerprint = fingerprint(key.public_key())

    def sign(self, heads: Heads, moment: float) -> dict[str, str]:
        """The detail of a checkpoint's event."""
        checkpoint = Checkpoint(time=datetime.fromtimestamp(moment, UTC).isoformat(), heads=heads)
        detail = {f"{_HEAD}{writer}": f"{sequence}:{digest.hex()}" for writer, (sequence, digest) in heads.items()}
        signature = self._key.sign(checkpoint.text()).hex()
        return {"time": checkpoint.time, "key": self._fingerprint, "signature": signature, **detail}


def public_key_file(key_file: Path) -> Path:
    """Where the public half of a ledger key lies."""
    return key_file.with_suffix(".pub")


def load_public_key(file: Path) -> Ed25519PublicKey:
    """A public ledger key from its PEM file. Raises OSError, ValueError."""
    key = load_pem_public_key(file.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{file} is no Ed25519 public key")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the raw public key."""
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def read_checkpoint(detail: dict[str, str]) -> Checkpoint:
    """A checkpoint from its event's detail, its signature unchecked. Raises ValueError."""
    heads: Heads = {}
    for name, text in detail.items():
        if name.startswith(_HEAD):
            sequence, _, digest = text.partition(":")
            heads[name.removeprefix(_HEAD)] = (int(sequence), bytes.fromhex(digest))
    return Checkpoint(time=detail.get("time", ""), heads=heads)


def is_signed(detail: dict[str, str], checkpoint: Checkpoint, key: Ed25519PublicKey) -> bool:
    """Whether the detail's signature is the key's over this checkpoint."""
    try:
        key.verify(bytes.fromhex(detail.get("signature", "")), checkpoint.text())
    except (InvalidSignature, ValueError):
        return False
    return True


def _write_whole(file: Path, data: bytes, mode: int) -> None:
    """A file that is there with all its bytes or not at all."""
    temporary = file.with_suffix(file.suffix + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(descriptor)
    temporary.rename(file)
