"""An audit record as a line of text, of JSON or of CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from typing import Any

from slipway.cli.output import print_json_line

Writer = Callable[[dict[str, Any]], None]

_LONGEST = 100  # characters of a result in the text form
_CALL_COLUMNS = (
    "at",
    "kind",
    "request_id",
    "caller",
    "algorithm",
    "version",
    "status",
    "error_type",
    "duration_us",
    "queue_us",
    "cpu_us",
    "cold_start",
    "input_size",
    "result_size",
    "input",
    "result",
)
_EVENT_COLUMNS = ("actor", "verb", "resource", "outcome", "detail")


def text_writer() -> Writer:
    """`14:01:30 - jpublic called movie_review_sentiment with result …`."""
    return lambda record: _line(as_text(record))


def json_writer() -> Writer:
    """Every field, one object a line."""
    return print_json_line


def csv_writer() -> Writer:
    """A header, then one row a record."""
    rows = csv.DictWriter(sys.stdout, _CALL_COLUMNS + _EVENT_COLUMNS, extrasaction="ignore", lineterminator="\n")
    rows.writeheader()

    def write(record: dict[str, Any]) -> None:
        rows.writerow({name: _safe(value) for name, value in record.items()})
        sys.stdout.flush()

    return write


def as_text(record: dict[str, Any]) -> str:
    """One line for a person; the time of day is UTC."""
    clock = str(record["at"])[11:19]
    if record["kind"] != "call":
        outcome = "" if record["outcome"] == "done" else f" ({record['outcome']})"
        return f"{clock} - {record['actor']}: {record['verb']} {record['resource']}{outcome}"
    name = str(record["algorithm"]).rpartition("/")[2] or "an unknown algorithm"
    ending = "(begun)" if record["phase"] == "start" else f"with {_outcome(record)}"
    return f"{clock} - {record['caller']} called {name} {ending}"


def _outcome(record: dict[str, Any]) -> str:
    if record["error_type"]:
        status = "" if record["status"] == 200 else f" (refused: {record['status']})"
        return f"error {record['error_type']}{status}"
    result = record.get("result")
    if result is None:
        return f"result of {record['result_size']} bytes"
    shown = " ".join(str(result).split())
    return f"result {shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + '…'}"


def _safe(value: object) -> object:
    """Spreadsheets run what begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@" and value[:1] else value


def _line(text: str) -> None:
    # A control character in somebody's result must not steer the terminal.
    sys.stdout.write("".join(c if c.isprintable() else "�" for c in text) + "\n")
    sys.stdout.flush()
