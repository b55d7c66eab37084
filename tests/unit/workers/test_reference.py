"""The protocol's document says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from slipway.wire import frames
from slipway.wire.frames import CALL, MAX_CHUNK, Decoder, decode_fields
from slipway.workers.runtimes.python import failures, process

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "worker-protocol.md").read_text()
KINDS = dict(re.findall(r"^\| (\d+) \| ([a-z -]+) \|", PAGE, re.MULTILINE))
FIELDS = set(re.findall(r"`(\w+)`", PAGE.partition("| field | is |")[2].partition("\n\n")[0]))


def test_every_kind_is_listed_under_its_number() -> None:
    for number, name in KINDS.items():
        assert getattr(frames, name.upper().replace(" ", "_").replace("-", "_")) == int(number)
    assert len(KINDS) == 14


def test_every_field_of_a_kind_is_explained() -> None:
    rows = re.findall(r"^\| \d+ \| [a-z -]+ \|(?:[^|\n]*\|){4}$", PAGE, re.MULTILINE)
    named = {field for row in rows for field in re.findall(r"`(\w+)`", row)}

    assert len(rows) == 14
    assert named <= FIELDS


def test_the_example_is_a_frame() -> None:
    example = re.search(r"```\n((?:[0-9a-f]{2}[ \n])+)```", PAGE)
    assert example is not None
    (frame,) = Decoder().feed(bytes.fromhex(example[1]))

    assert (frame.kind, frame.body) == (CALL, b"[1]")
    assert frame.call.hex() == "01920f5aa0b17c2d8e3f405162738495"
    assert decode_fields(frame.header) == {"content_type": "json", "caller": "ann", "timeout_ms": "1000"}


def test_limits_and_statuses_are_those_of_the_code() -> None:
    assert f"{MAX_CHUNK:,} bytes" in PAGE
    statuses = {int(status) for status in re.findall(r"^\| (\d+) \| (?:it was|after|the platform)", PAGE, re.MULTILINE)}
    assert statuses == {process.ENDED, process.FAILED, process.BROKEN, process.OUT_OF_MEMORY}


def test_every_error_type_that_authors_may_use_is_listed() -> None:
    assert all(f"`{name}`" in PAGE for name in failures.DECLARED_TYPES)
