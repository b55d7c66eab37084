"""Where the result of a call goes: to standard output, or into a file that is whole or not there."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import typer

from slipway.cli.output import as_json_text
from slipway.resources import CallResult


def write_result(found: CallResult, output: Path | None, *, raw: bool, as_json: bool) -> None:
    """Write a result, and on standard error what the algorithm printed."""
    if as_json:
        write_bytes(as_json_text(found).encode(), output)
        return
    if found.stdout:
        sys.stderr.write(found.stdout)
    if isinstance(found.result, bytes) and sys.stdout.isatty() and output is None and not raw:
        size = len(found.result)
        raise typer.BadParameter(f"the result is {size} bytes: redirect it, or use --output or --raw")
    write_bytes(_shown(found, raw or output is not None), output)


def write_items(items: Iterable[Any], output: Path | None, *, raw: bool) -> None:
    """Write items as they come: a line of JSON each, or text and bytes as they are; a file is whole or not there."""
    if output is not None:
        with whole_file(output) as target:
            target.writelines(_item(item, raw) for item in items)
        return
    for item in items:
        write_bytes(_item(item, raw), None)


def write_bytes(content: bytes, output: Path | None) -> None:
    """Write to a file, or to standard output where none is named."""
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    with whole_file(output) as target:
        target.write(content)


@contextlib.contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """A file that appears, in place of what was there, once all of it is written."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
        # As the file would have been made by `open`.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def _item(value: object, raw: bool) -> bytes:
    if raw and isinstance(value, (str, bytes)):
        return value.encode() if isinstance(value, str) else value
    if isinstance(value, bytes):
        value = base64.b64encode(value).decode()
    return f"{json.dumps(value, ensure_ascii=False)}\n".encode()


def _shown(result: CallResult, bare: bool) -> bytes:
    value = result.result
    if isinstance(value, bytes):
        return value
    end = "" if bare else "\n"
    if result.content_type == "text":
        return f"{value}{end}".encode()
    return f"{json.dumps(value, ensure_ascii=False, indent=None if bare else 2)}{end}".encode()
