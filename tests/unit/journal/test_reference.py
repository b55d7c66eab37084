from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from slipway.journal.format import CHECKPOINTS, HEADER_SIZE
from slipway.journal.records import CallRecord, EventRecord, Payload
from slipway.journal.signing import Checkpoint
from slipway.journal.writer import JournalWriter
from tests.unit.journal.journals import call, flip, segment, write

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "journal.md").read_text()


@pytest.mark.parametrize("kind", [CallRecord, EventRecord, Payload])
def test_the_reference_names_every_field_with_its_key(kind: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(kind):
        assert f"| `{field.encode_name}` | `{field.name}` |" in REFERENCE


def test_the_reference_describes_header_and_checkpoints_as_they_are() -> None:
    assert f"a header of {HEADER_SIZE} bytes" in REFERENCE
    assert f"`{CHECKPOINTS}`" in REFERENCE
    text = Checkpoint(time="TIME", heads={"WRITER": (7, b"\xab")}).text().decode()
    lines = text.replace("7 ab", "SEQUENCE HASH").splitlines()
    assert "\n    ".join(["", *lines]) in REFERENCE


async def test_the_reader_in_the_reference_reads_and_checks_a_journal(tmp_path: Path) -> None:
    await write(tmp_path, [call(number, caller="ann") for number in range(200)], segment_bytes=16_384)
    writer = JournalWriter(tmp_path / "w", "w", segment_bytes=16_384)
    sequence, head = writer.head
    writer.close()

    whole = run_reader(tmp_path / "w")

    records = [json.loads(line) for line in whole.stdout.splitlines()]
    assert [record["al"] for record in records] == [f"ann/a{number}" for number in range(200)]
    assert whole.stderr.strip() == f"{sequence} frames, head {head.hex()}"
    flip(segment(tmp_path), HEADER_SIZE + 60)
    assert "torn or damaged at byte 92" in run_reader(tmp_path / "w").stderr


def run_reader(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the reference's own reader on a writer's directory."""
    (code,) = re.findall(r"```python\n(.*?)```", REFERENCE, re.DOTALL)
    return subprocess.run([sys.executable, "-c", code, directory], capture_output=True, text=True)
