"""`slipway call` and `slipway result`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.inputs import Kind, chosen_kind, read_input
from slipway.cli.output import Json, print_json, say
from slipway.cli.results import write_bytes, write_items, write_result
from slipway.cli.session import connect
from slipway.client import Client, call_result
from slipway.connection import ClientError
from slipway.resources import RequestInfo

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0
_RESTARTING = 503

Raw = Annotated[bool, typer.Option("--raw", help="Write the bare bytes of the result.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", dir_okay=False, help="Write the result to a file, all or nothing.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(call)
    app.command()(result)


def call(
    algorithm: Annotated[str, typer.Argument(metavar="OWNER/NAME[/VERSION]")],
    value: Annotated[
        str | None, typer.Argument(metavar="[INPUT]", help="JSON, or else text; `-`: stdin; `@FILE`: a file.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="Input, taken as text.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", exists=True, dir_okay=False, help="Input from a file.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option("--type", "-t", help="What the input is; guessed without it.")] = None,
    text: Annotated[bool, typer.Option("--text", help="The input is text, whatever it looks like.")] = False,
    binary: Annotated[bool, typer.Option("--binary", help="The input is bytes, whatever they look like.")] = False,
    raw: Raw = False,
    output: Output = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds that the call may take.")] = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Show on stderr what your algorithm printed.")] = False,
    later: Annotated[bool, typer.Option("--async", help="Do not wait: print the request id.")] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Print each item that the algorithm yields as it comes, a line of JSON each."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Call an algorithm and print its result. Exit code 1: the algorithm, or the platform, answered with an error."""
    if stream and (later or stdout):
        raise typer.BadParameter("--stream goes with neither --async nor --stdout")
    given = read_input(value, data, file, chosen_kind(kind, text, binary))
    with connect(timeout=(timeout or 3000.0) + 30.0) as client:
        if later:
            request_id = client.call_async(algorithm, given.value, timeout, stdout)
            sys.stdout.write(json.dumps({"request_id": request_id}) + "\n" if as_json else request_id + "\n")
        elif stream:
            write_items(client.stream(algorithm, given.value, timeout), output, raw=raw)
        elif raw and not stdout and not as_json:
            write_bytes(client.call_raw(algorithm, given.content, given.content_type, timeout), output)
        else:
            write_result(client.call(algorithm, given.value, timeout, stdout), output, raw=raw, as_json=as_json)


def result(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="As `slipway call --async` printed it.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the call has ended.")] = False,
    raw: Raw = False,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Print the result of an asynchronous call, or how it stands."""
    with connect() as client:
        found = _ended(client, request_id) if wait else client.request(request_id)
        if as_json:
            print_json(found)
        elif not found.ended:
            say(found.status)
        else:
            write_result(call_result(found.as_reply()), output, raw=raw, as_json=as_json)


def _ended(client: Client, request_id: str) -> RequestInfo:
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            if (found := client.request(request_id)).ended:
                return found
        except ClientError as error:
            if error.http_status != _RESTARTING:
                raise
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
