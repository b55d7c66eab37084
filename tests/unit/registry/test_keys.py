"""The form of API keys."""

from __future__ import annotations

import hashlib
import re

from slipway.registry.keys import generate_key, hash_key


def test_a_key_has_28_characters_that_start_with_sim() -> None:
    keys = {generate_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"sim[A-Za-z0-9]{25}", key) for key in keys)


def test_a_key_is_stored_as_its_sha256() -> None:
    assert hash_key("simABC") == hashlib.sha256(b"simABC").digest()
