"""What `slipway call` sends: an argument, standard input or a file, as JSON, text or bytes."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path

import msgspec
import typer

_TEXT_SUFFIXES = (".txt", ".md", ".csv")


class Kind(StrEnum):
    """What an input is."""

    json = "json"
    text = "text"
    binary = "binary"


_CONTENT_TYPES = {Kind.json: "application/json", Kind.text: "text/plain", Kind.binary: "application/octet-stream"}


class Input(msgspec.Struct, frozen=True):
    """What is sent."""

    kind: Kind
    content: bytes

    @property
    def content_type(self) -> str:
        """As HTTP names it."""
        return _CONTENT_TYPES[self.kind]

    @property
    def value(self) -> object:
        """As the client takes it."""
        if self.kind is Kind.json:
            return json.loads(self.content)
        return self.content.decode() if self.kind is Kind.text else self.content


def chosen_kind(kind: Kind | None, text: bool, binary: bool) -> Kind | None:
    """What the options say that the input is; raises typer.BadParameter where they disagree."""
    said = [one for one in (kind, Kind.text if text else None, Kind.binary if binary else None) if one is not None]
    if len(set(said)) > 1:
        raise typer.BadParameter(f"the input is either {said[0]} or {said[1]}")
    return said[0] if said else None


def read_input(value: str | None, data: str | None, file: Path | None, kind: Kind | None) -> Input:
    """The input, wherever it comes from. Raises typer.BadParameter for what is not what it is said to be."""
    if sum(one is not None for one in (value, data, file)) > 1:
        raise typer.BadParameter("give the input once: as INPUT, with -d or with -f")
    if data is not None:
        return _checked(data.encode(), kind or Kind.text, "the input")
    if file is None and value is not None and value.startswith("@"):
        file = Path(value[1:])
    if file is not None:
        return _from_file(file, kind)
    if value == "-" or (value is None and sys.stdin is not None and not sys.stdin.isatty()):
        return _checked(sys.stdin.buffer.read(), kind, "standard input")
    return _checked((value or "").encode(), kind, "the input")


def _from_file(file: Path, kind: Kind | None) -> Input:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    if file.suffix == ".json":
        kind = kind or Kind.json
    return _checked(content, kind or (Kind.text if file.suffix in _TEXT_SUFFIXES else Kind.binary), str(file))


def _checked(content: bytes, kind: Kind | None, what: str) -> Input:
    """The input as what it is said to be, or else as JSON, text or bytes, whatever it can be; nothing is null."""
    if kind is None and not content:
        return Input(Kind.json, b"null")
    if kind is not None:
        if not _is(content, kind):
            raise typer.BadParameter(f"{what} is no {'JSON' if kind is Kind.json else 'UTF-8 text'}")
        return Input(kind, content)
    return Input(next(one for one in (Kind.json, Kind.text, Kind.binary) if _is(content, one)), content)


def _is(content: bytes, kind: Kind) -> bool:
    try:
        json.loads(content) if kind is Kind.json else content.decode() if kind is Kind.text else None
    except ValueError:
        return False
    return True
