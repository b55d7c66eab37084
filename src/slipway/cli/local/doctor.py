"""`slipway doctor`: what this machine can and cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.local.machine import CHECKS
from slipway.cli.output import Json, print_json, print_table
from slipway.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    data: Annotated[Path | None, typer.Option("--data", help="The data directory.", file_okay=False)] = None,
    as_json: Json = False,
) -> None:
    """Tell what this machine can and cannot do; exit code 1 if something needed is missing."""
    settings = load_settings({"data": data and str(data)})
    findings = [check(settings) for check in CHECKS]
    if as_json:
        print_json(findings)
    else:
        rows = [(one.name, one.verdict, one.seen, one.advice) for one in findings]
        print_table(("WHAT", "OK", "SEEN", "ADVICE"), rows)
    if any(one.needed and one.verdict == "no" for one in findings):
        raise typer.Exit(1)
