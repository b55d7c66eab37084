"""`slipway logs`: what an algorithm printed."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.moments import parse_since
from slipway.cli.output import Json, print_json_line, say
from slipway.cli.session import connect, named


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(logs)


def logs(
    algorithm: Annotated[str, typer.Argument(metavar="OWNER/NAME")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is printed.")] = False,
    since: Annotated[str, typer.Option(help="A time, or how long ago: 10m, 2h, 3d.")] = "1d",
    as_json: Json = False,
) -> None:
    """Show what an algorithm printed, call by call."""
    with connect() as client:
        for record in client.logs(named(client, algorithm), parse_since(since), follow):
            if as_json:
                print_json_line(record)
                continue
            for line in str(record["stdout"]).splitlines():
                say(f"{record['at']} {record['request_id']} {line}")
