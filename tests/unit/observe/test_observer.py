from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from slipway.journal.format import payload_path
from slipway.observe.observer import lag_seconds, step, usage_path
from slipway.observe.usage import UsageRow, UsageStore, read_usage
from slipway.settings import Settings
from tests.conditions import eventually
from tests.unit.journal.journals import call, open_writer, segment, write

HOUR = 3600.0
OBSERVER = """
import asyncio, os, msgspec
from slipway.observe import observer
from slipway.settings import Settings
asyncio.run(observer.run(msgspec.json.decode(os.environ["OBSERVED"], type=Settings)))
"""


def count_all(directory: Path, store: UsageStore) -> None:
    """Step until nothing is left."""
    while step(directory, store):
        pass


def start_observer(settings: Settings) -> subprocess.Popen[bytes]:
    """A real observer process."""
    environment = {**os.environ, "OBSERVED": msgspec.json.encode(settings).decode()}
    return subprocess.Popen([sys.executable, "-c", OBSERVER], env=environment)


async def test_calls_are_counted_by_hour_algorithm_version_and_caller(tmp_path: Path) -> None:
    common = {"algorithm": "ann/echo", "version": "1.0.0", "caller": "bob"}
    records = [
        call(1, **common, time=10 * HOUR + 1, duration_us=5),
        call(1, **common, time=10 * HOUR + 3599, duration_us=7, error_type="AlgorithmError"),
        call(1, **common, time=11 * HOUR, duration_us=11),
        call(1, **{**common, "caller": "eve"}, time=10 * HOUR, duration_us=13),
        call(1, **{**common, "version": "1.1.0"}, time=10 * HOUR, duration_us=17),
        call(1, **common, time=10 * HOUR, phase="start"),
    ]
    await write(tmp_path, records)
    writer = open_writer(tmp_path, "control")
    writer.event("ann", "key.revoke", "account/ann")
    writer.close()
    store = UsageStore(tmp_path / "usage.db")

    count_all(tmp_path, store)

    def row(hour: int, version: str, caller: str, *sums: int) -> UsageRow:
        names = ("calls", "errors", "duration_us", "error_duration_us")
        totals = dict(zip(names, sums, strict=True))
        return UsageRow(
            hour=hour * 3600, algorithm="ann/echo", version=version, caller=caller, machine_type="CPU", **totals
        )

    expected = [
        row(10, "1.0.0", "bob", 2, 1, 12, 7),
        row(10, "1.0.0", "eve", 1, 0, 13, 0),
        row(10, "1.1.0", "bob", 1, 0, 17, 0),
        row(11, "1.0.0", "bob", 1, 0, 11, 0),
    ]
    assert read_usage(tmp_path / "usage.db") == expected
    assert read_usage(tmp_path / "usage.db", since=11 * HOUR) == expected[3:]
    store.close()


async def test_a_record_counts_once_over_restarts(tmp_path: Path) -> None:
    for _ in range(3):
        await write(tmp_path, [call(1, time=1.0) for _ in range(50)], segment_bytes=16_384)
        store = UsageStore(tmp_path / "usage.db")
        count_all(tmp_path, store)
        store.close()

    assert [row.calls for row in read_usage(tmp_path / "usage.db")] == [150]


async def test_what_cannot_be_stored_is_counted_later(tmp_path: Path) -> None:
    await write(tmp_path, [call(1, time=1.0)])
    store = UsageStore(tmp_path / "usage.db")
    other = sqlite3.connect(tmp_path / "usage.db")
    other.execute("DROP TABLE cursors")
    other.execute("CREATE TABLE cursors (writer TEXT, segment INTEGER, position INTEGER, sequence INTEGER CHECK (0))")
    other.commit()
    with pytest.raises(sqlite3.Error):
        step(tmp_path, store)
    other.execute("DROP TABLE cursors")
    other.commit()
    other.close()
    store.close()

    store = UsageStore(tmp_path / "usage.db")
    count_all(tmp_path, store)

    assert [row.calls for row in store.rows()] == [1]
    store.close()


async def test_rollups_of_another_version_are_counted_anew(tmp_path: Path) -> None:
    await write(tmp_path, [call(1, time=1.0)])
    store = UsageStore(tmp_path / "usage.db")
    count_all(tmp_path, store)
    store.close()
    database = sqlite3.connect(tmp_path / "usage.db")
    database.execute("PRAGMA user_version = 7")
    database.close()

    store = UsageStore(tmp_path / "usage.db")
    assert store.rows() == []
    count_all(tmp_path, store)

    assert [row.calls for row in store.rows()] == [1]
    store.close()


async def test_the_lag_is_the_age_of_the_oldest_record_not_counted(tmp_path: Path) -> None:
    await write(tmp_path, [call(1, time=time.time() - 50), call(2)])
    store = UsageStore(tmp_path / "usage.db")
    assert 50 <= lag_seconds(tmp_path, store.cursors()) < 60

    count_all(tmp_path, store)

    assert lag_seconds(tmp_path, store.cursors()) == 0
    store.close()


async def test_usage_does_not_need_payloads(tmp_path: Path) -> None:
    await write(tmp_path, [call(1)])
    payload_path(segment(tmp_path)).unlink()
    store = UsageStore(tmp_path / "usage.db")
    count_all(tmp_path, store)
    assert len(store.rows()) == 1
    store.close()


def test_there_is_no_usage_before_the_observer_has_begun(tmp_path: Path) -> None:
    assert read_usage(tmp_path / "usage.db") == []
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    assert read_usage(tmp_path / "empty.db") == []


async def test_an_observer_that_is_killed_again_and_again_counts_every_call_once(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    path = usage_path(settings)
    await write(settings.journal_directory, [call(1, time=1.0) for _ in range(2000)], segment_bytes=128 * 1024)

    def counted() -> int:
        return sum(row.calls for row in read_usage(path))

    for _ in range(3):
        process = start_observer(settings)
        eventually(lambda: counted() >= random.randint(0, 1500) or counted() == 2000)
        process.kill()
        process.wait()
    process = start_observer(settings)
    eventually(lambda: counted() >= 2000)
    eventually(lambda: os.sched_getscheduler(process.pid) == os.SCHED_IDLE)

    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 0
    assert counted() == 2000
