"""How commands speak: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

console = Console()
errors = Console(stderr=True)


def note(text: str) -> None:
    """A line for the person, not for a program."""
    errors.print(text, markup=False, highlight=False, soft_wrap=True)


def fail(text: str, code: int = 1) -> NoReturn:
    """End with one clear line."""
    errors.print(f"slipway: {text}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def show(value: Any, as_json: bool, columns: Sequence[str] = ()) -> None:  # noqa: ANN401 - any JSON
    """A result: JSON for programs; for persons a table of `columns`, or lines of name and value."""
    if as_json:
        print(json.dumps(value, ensure_ascii=False, indent=2))
    elif isinstance(value, list):
        _table(value, columns)
    elif isinstance(value, dict):
        for name in columns or value:
            console.print(f"{name:16} {value.get(name, '')}", markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(str(value), markup=False, highlight=False, soft_wrap=True)


def _table(rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*("" if row.get(column) is None else str(row[column]) for column in columns))
    console.print(table)
