from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.journal.verify import verify
from slipway.journal.writer import JournalWriter

APPENDER = Path(__file__).with_name("appender.py")


def test_every_acknowledged_record_is_there_once_after_kill_9_at_random_points(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for _ in range(8):
        process = subprocess.Popen([sys.executable, str(APPENDER), str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        acknowledged += [process.stdout.readline().decode().strip() for _ in range(random.randint(1, 400))]
        process.kill()
        lines = process.stdout.read().decode().splitlines(keepends=True)
        acknowledged += [line.strip() for line in lines if line.endswith("\n")]
        process.stdout.close()
        process.wait()

    JournalWriter(tmp_path / "w", "w").close()  # cuts what the last kill has torn
    written = Counter(e.record.call_id.hex() for e in read_all(tmp_path) if isinstance(e.record, CallRecord))

    assert all(written[identity] == 1 for identity in acknowledged)
    assert [report.problems for report in verify(tmp_path, tmp_path / "none")] == [[]]
