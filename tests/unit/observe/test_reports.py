"""What reports are made of: failed calls and sums of usage."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from slipway.ids import id_text
from slipway.journal.format import payload_path
from slipway.observe import errors
from slipway.observe.errors import with_messages
from slipway.observe.observer import step
from slipway.observe.totals import Span, Total
from slipway.observe.usage import UsageStore, read_errors, read_totals
from tests.unit.journal.journals import call, segment, write

HOUR = 3600.0
_numbers = itertools.count()


def a_call(algorithm: str = "ann/echo", **changes: Any) -> Any:
    """A call that reached a version."""
    return call(
        1,
        **{
            "time": time.time() - 1000 + next(_numbers),
            "algorithm": algorithm,
            "version": "1.0.0",
            "version_id": "v",
            "caller": "bob",
            **changes,
        },
    )


async def observed(directory: Path, records: list[Any]) -> Path:
    """The observer's database over a journal of these records."""
    await write(directory, records)
    path = directory / "usage.db"
    store = UsageStore(path)
    while step(directory, store):
        pass
    store.close()
    return path


async def test_failed_calls_are_listed_newest_first_by_algorithm_and_by_owner(tmp_path: Path) -> None:
    records = [
        a_call(),
        a_call(error_type="AlgorithmError", duration_us=5),
        a_call("ann/other", error_type="TimeoutError"),
        a_call("anna/echo", error_type="AlgorithmError"),
        a_call(error_type="PermissionError", status=403, version_id=""),  # it reached no version
        a_call(error_type="InputError", phase="start"),
        a_call(error_type="OutOfMemoryError"),
    ]
    path = await observed(tmp_path, records)

    mine = read_errors(path, 10, algorithm="ann/echo")
    assert [one.error_type for one in mine] == ["OutOfMemoryError", "AlgorithmError"]
    assert (mine[1].request_id, mine[1].duration_us) == (id_text(records[1].call_id), 5)
    assert [one.algorithm for one in read_errors(path, 10, owner="ann")] == ["ann/echo", "ann/other", "ann/echo"]
    assert len(read_errors(path, 1, owner="ann")) == 1
    assert read_errors(path, 10, owner="an") == []


async def test_messages_come_from_the_journal_as_long_as_it_has_them(tmp_path: Path) -> None:
    digest = b"d" * 32
    path = await observed(tmp_path, [a_call(error_type="AlgorithmError", result_digest=digest) for _ in range(3)])
    found = read_errors(path, 10, algorithm="ann/echo")

    assert [(one.message, one.stdout) for one in with_messages(tmp_path, found)] == [("r", "printed")] * 3

    payload_path(segment(tmp_path)).unlink()
    assert [(one.message, one.stdout) for one in with_messages(tmp_path, found)] == [("", "")] * 3
    assert with_messages(tmp_path, []) == []


async def test_the_oldest_errors_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "KEPT", 3)
    records = [a_call(error_type=f"Error{number}") for number in range(8)] + [a_call("ann/other", error_type="Error")]
    path = await observed(tmp_path, records)

    assert [one.error_type for one in read_errors(path, 10, algorithm="ann/echo")] == ["Error7", "Error6", "Error5"]
    assert len(read_errors(path, 10, algorithm="ann/other")) == 1


async def test_usage_is_summed_by_what_a_report_groups_by(tmp_path: Path) -> None:
    records = [
        a_call(time=10 * HOUR, duration_us=1),
        a_call(time=11 * HOUR, duration_us=2, error_type="AlgorithmError"),
        a_call(time=12 * HOUR, duration_us=4, caller="eve"),
        a_call(time=12 * HOUR, duration_us=8, version="2.0.0", gpu_us=1),
        a_call("zoe/echo", time=12 * HOUR, duration_us=16),
    ]
    path = await observed(tmp_path, records)

    def rows(grouping: Any, **span: Any) -> list[tuple[Any, ...]]:
        found = read_totals(path, grouping, Span(**span))
        return [tuple(value for value in _values(one) if value != "") for one in found]

    assert rows("users") == [("bob", 4, 1, 27, 2), ("eve", 1, 0, 4, 0)]
    assert rows("algorithms", owner="ann") == [
        ("ann/echo", "1.0.0", "CPU", 3, 1, 7, 2),
        ("ann/echo", "2.0.0", "GPU", 1, 0, 8, 0),
    ]
    assert rows("full", caller="eve") == [("eve", "ann/echo", "1.0.0", "CPU", 1, 0, 4, 0)]
    assert rows("users", since=11 * HOUR, until=12 * HOUR) == [("bob", 1, 1, 2, 2)]


def _values(total: Total) -> tuple[Any, ...]:
    return tuple(getattr(total, name) for name in Total.__struct_fields__)


def test_there_are_no_reports_before_the_observer_has_begun(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for path in (tmp_path / "usage.db", tmp_path / "empty.db"):
        assert read_errors(path, 10, owner="ann") == []
        assert read_totals(path, "full", Span()) == []
