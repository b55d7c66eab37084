"""Sealed values."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.access.secrets import SecretBox
from slipway.errors import DataDirectoryUnusable, SlipwayError


def test_a_value_opens_for_what_it_was_sealed_for_and_for_nothing_else(tmp_path: Path) -> None:
    box = SecretBox(tmp_path / "key")
    sealed = box.seal("one", "geheim")
    assert b"geheim" not in sealed
    assert box.seal("one", "geheim") != sealed
    assert box.open("one", sealed) == "geheim"
    for identity, data in (("two", sealed), ("one", sealed[:-1] + bytes([sealed[-1] ^ 1])), ("one", b"")):
        with pytest.raises(SlipwayError):
            box.open(identity, data)


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    sealed = SecretBox(tmp_path / "key").seal("one", "geheim")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["key"]
    assert SecretBox(tmp_path / "key").open("one", sealed) == "geheim"
    with pytest.raises(SlipwayError):
        SecretBox(tmp_path / "another").open("one", sealed)


def test_a_damaged_key_stops_the_platform_instead_of_being_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(DataDirectoryUnusable, match="backup"):
        SecretBox(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == b"short"
