"""`slipway audit`: who called what and when, with what result; and whether that record is whole."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from slipway.cli.audit_formats import Writer, csv_writer, json_writer, text_writer
from slipway.cli.local.audit_files import entries_of, verify_files
from slipway.cli.moments import parse_since
from slipway.cli.output import Json, print_json, print_table
from slipway.cli.session import connect
from slipway.connection import ClientError

Data = Annotated[
    Path | None, typer.Option("--data", file_okay=False, help="Read this data directory; the platform may be down.")
]


class Format(StrEnum):
    """How records are printed."""

    text = "text"
    json = "json"
    csv = "csv"


_WRITERS = {Format.text: text_writer, Format.json: json_writer, Format.csv: csv_writer}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Who called what, with what result.", invoke_without_command=True)
    group.callback()(audit)
    group.command()(verify)
    app.add_typer(group, name="audit")


def audit(
    context: typer.Context,
    data: Data = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more happens.")] = False,
    since: Annotated[str, typer.Option(help="A time, or how long ago: 10m, 2h, 3d.")] = "",
    caller: Annotated[str, typer.Option(help="Calls of this account only.")] = "",
    algorithm: Annotated[str, typer.Option(metavar="[OWNER/]NAME", help="Calls to this algorithm only.")] = "",
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
    as_json: Json = False,
) -> None:
    """Print the record of calls and events, in UTC."""
    if context.invoked_subcommand is not None:
        return
    writer: Writer = _WRITERS[Format.json if as_json else form]()
    for record in _records(data, parse_since(since), caller, algorithm, follow):
        writer(record)


def verify(data: Data = None, as_json: Json = False) -> None:
    """Check every chain of the journal on this machine: nothing changed, nothing missing."""
    reports = verify_files(data)
    if as_json:
        print_json(reports)
    else:
        rows = [(report.writer, report.frames, report.records, report.head[:16]) for report in reports]
        print_table(("WRITER", "FRAMES", "RECORDS", "HEAD"), rows, "there is no journal yet")
    problems = [f"{report.writer}: {problem}" for report in reports for problem in report.problems]
    if problems:
        raise ClientError(f"the journal does not verify: {'; '.join(problems)}")


def _records(data: Path | None, since: float, caller: str, algorithm: str, follow: bool) -> Iterator[dict[str, Any]]:
    if data is not None:
        yield from entries_of(data, since, caller, algorithm, follow)
        return
    with connect() as client:
        yield from client.audit(since, caller, algorithm, follow)
