"""How commands speak: tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line for a person, taken literally."""
    console.print(text, markup=False)


def fail(text: str) -> None:
    """One line about an error, on standard error."""
    errors.print(f"slipway: {' '.join(text.split())}", markup=False, style="red")


def print_json(value: object) -> None:
    """A value, records included, as JSON."""
    sys.stdout.write(as_json_text(value))


def as_json_text(value: object) -> str:
    """A value, records included, as JSON for a program or a patient person."""
    return json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False) + "\n"


def print_json_line(value: dict[str, Any]) -> None:
    """One record of a stream."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "none") -> None:
    """Rows for a person. Into a pipe, cells are not shortened to some width."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not console.is_terminal)
    filled = False
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
        filled = True
    if not filled:
        say(empty)
        return
    width = console.width if console.is_terminal else 10_000
    console.print(table, markup=False, width=width) if console.is_terminal else _print_wide(table)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values for a person, one a line."""
    for name, value in pairs:
        say(f"{name:16} {' '.join(value.split())}")


def _print_wide(table: Table) -> None:
    wide = Console(width=1000, highlight=False)
    with wide.capture() as captured:
        wide.print(table)
    sys.stdout.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")
