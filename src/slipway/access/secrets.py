"""Sealing secrets: AES-256-GCM under a master key that lies in the data directory, readable by its owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from slipway.errors import DataDirectoryUnusable, SlipwayError

_KEY_BYTES = 32
_NONCE_BYTES = 12  # random: 2^32 secrets may be sealed under one key (NIST SP 800-38D, section 8.3)


class SecretBox:
    """Seals and opens values. A sealed one opens only for the identity it was sealed for."""

    def __init__(self, file: Path) -> None:
        """Read the master key, or make it at first use. Raises DataDirectoryUnusable."""
        try:
            key = file.read_bytes() if file.exists() else _make(file)
        except OSError as error:
            raise DataDirectoryUnusable(f"{file}: {error.strerror}") from error
        if len(key) != _KEY_BYTES:
            raise DataDirectoryUnusable(f"{file} is no master key of {_KEY_BYTES} bytes: restore it from a backup")
        self._cipher = AESGCM(key)

    def seal(self, identity: str, value: str) -> bytes:
        """The value, encrypted: nonce, then ciphertext and tag."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value.encode(), identity.encode())

    def open(self, identity: str, sealed: bytes) -> str:
        """The value again. Raises SlipwayError where it was sealed under another key or for something else."""
        try:
            value = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], identity.encode())
        except (InvalidTag, ValueError) as error:
            raise SlipwayError(f"the secret {identity} cannot be opened with this platform's master key") from error
        return value.decode()


def _make(file: Path) -> bytes:
    """A new key, on disk whole before anything is sealed with it; of two that start at once, one key."""
    key = secrets.token_bytes(_KEY_BYTES)
    temporary = file.with_name(f"{file.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(key)
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(temporary, file)
        except FileExistsError:
            return file.read_bytes()
    finally:
        temporary.unlink(missing_ok=True)
    return key
