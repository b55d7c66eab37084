from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from slipway.journal.payloads import Payloads
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.journal.verify import verify
from slipway.journal.writer import JournalWriter

APPENDER = Path(__file__).with_name("appender.py")


def run_and_kill(directory: Path, calls: int) -> list[str]:
    """Append until `calls` are answered, then kill -9; all ids that were answered."""
    process = subprocess.Popen([sys.executable, str(APPENDER), str(directory)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    answered = [process.stdout.readline().decode().strip() for _ in range(calls)]
    process.kill()
    lines = process.stdout.read().decode().splitlines(keepends=True)
    process.stdout.close()
    process.wait()
    return answered + [line.strip() for line in lines if line.endswith("\n")]


def test_every_acknowledged_record_is_there_once_after_kill_9_at_random_points(tmp_path: Path) -> None:
    acknowledged = [identity for _ in range(8) for identity in run_and_kill(tmp_path, random.randint(1, 400))]

    JournalWriter(tmp_path / "w", "w").close()  # cuts what the last kill has torn, closes what it left open
    entries = [entry for entry in read_all(tmp_path) if isinstance(entry.record, CallRecord)]
    records = [entry.record for entry in entries if isinstance(entry.record, CallRecord)]
    ended = Counter(record.call_id.hex() for record in records if record.phase != "start")
    started = {record.call_id.hex() for record in records if record.phase == "start"}
    interrupted = {record.call_id.hex() for record in records if record.error_type == "Interrupted"}

    assert len(acknowledged) == len(set(acknowledged))
    assert all(ended[identity] == 1 for identity in acknowledged)
    assert set(ended.values()) == {1}
    assert started <= set(ended)
    assert interrupted <= started - set(acknowledged)
    payloads = Payloads(tmp_path)
    kept = [payload for payload in map(payloads.find, entries) if payload]
    assert len(kept) == sum(1 for record in records if record.input_digest)
    assert [report.problems for report in verify(tmp_path, tmp_path / "none")] == [[]]
