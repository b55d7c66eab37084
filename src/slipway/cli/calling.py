"""`slipway call` and `slipway result`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from slipway.cli.output import Json, print_json, say
from slipway.cli.session import connect
from slipway.client import Client, call_result
from slipway.connection import ClientError
from slipway.resources import CallResult, RequestInfo

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0
_RESTARTING = 503
_TEXT_SUFFIXES = (".txt", ".md", ".csv")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(call)
    app.command()(result)


def call(
    algorithm: Annotated[str, typer.Argument(metavar="OWNER/NAME[/VERSION]")],
    value: Annotated[str | None, typer.Argument(metavar="[INPUT]", help="JSON, or else text; `-`: stdin.")] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="Input, taken as text.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", exists=True, help="Input from a file.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print the bare result, binary too.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds that the call may take.")] = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Show what your algorithm printed.")] = False,
    later: Annotated[bool, typer.Option("--async", help="Do not wait: print the request id.")] = False,
    as_json: Json = False,
) -> None:
    """Call an algorithm and print its result."""
    given = _input(value, data, file)
    with connect(timeout=(timeout or 3000.0) + 30.0) as client:
        if later:
            request_id = client.call_async(algorithm, given, timeout, stdout)
            sys.stdout.write(json.dumps({"request_id": request_id}) + "\n" if as_json else request_id + "\n")
            return
        _print(client.call(algorithm, given, timeout, stdout), raw, as_json)


def result(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="As `slipway call --async` printed it.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the call has ended.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the bare result, binary too.")] = False,
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
            _print(call_result(found.as_reply()), raw, as_json)


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


def _print(found: CallResult, raw: bool, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if found.stdout:
        sys.stderr.write(found.stdout)
    _show(found, raw)


def _input(value: str | None, data: str | None, file: Path | None) -> Any:  # noqa: ANN401 - any JSON
    if sum(one is not None for one in (value, data, file)) > 1:
        raise typer.BadParameter("give the input once: as INPUT, with -d or with -f")
    if data is not None:
        return data
    if file is not None:
        return _from_file(file)
    if value == "-" or (value is None and not sys.stdin.isatty()):
        return _guessed(sys.stdin.buffer.read())
    return None if value is None else _guessed(value.encode())


def _from_file(file: Path) -> Any:  # noqa: ANN401 - any JSON
    content = file.read_bytes()
    if file.suffix == ".json":
        try:
            return json.loads(content)
        except ValueError as error:
            raise typer.BadParameter(f"{file} is no JSON: {error}") from None
    return content.decode() if file.suffix in _TEXT_SUFFIXES else content


def _guessed(content: bytes) -> Any:  # noqa: ANN401 - any JSON
    """JSON if it is that, else text, else bytes; nothing at all is null."""
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        pass
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _show(result: CallResult, raw: bool) -> None:
    value = result.result
    if isinstance(value, bytes):
        if sys.stdout.isatty() and not raw:
            raise typer.BadParameter(f"the result is {len(value)} bytes: redirect it into a file, or use --raw")
        sys.stdout.buffer.write(value)
    elif result.content_type == "text":
        sys.stdout.write(value + ("" if raw else "\n"))
    else:
        indent = None if raw else 2
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=indent) + ("" if raw else "\n"))
