from __future__ import annotations

import time
import uuid

from slipway.ids import id_bytes, id_text, new_id, new_id_bytes


def test_ids_are_version_7_of_the_right_variant() -> None:
    value = uuid.UUID(new_id())

    assert (value.version, value.variant) == (7, uuid.RFC_4122)


def test_ids_are_unique_and_ordered_by_time() -> None:
    first = new_id_bytes()
    while time.time_ns() // 1_000_000 == int.from_bytes(first[:6], "big"):
        pass
    many = [new_id_bytes() for _ in range(2000)]

    assert first < min(many)
    assert len(set(many)) == 2000


def test_text_and_bytes_are_the_same_id() -> None:
    value = new_id_bytes()

    assert id_bytes(id_text(value)) == value
