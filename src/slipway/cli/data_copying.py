"""`slipway data cp`: what is copied to where, and what could not be."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from slipway.cli.data_addresses import expanded, hosted, is_hosted, joined, parted
from slipway.cli.progress import transfer_bar
from slipway.client import Client
from slipway.connection import ClientError

_CHUNK = 256 * 1024
_NO_KEY = 401  # what comes next would fail alike


class Copier:
    """Copies one after the other; what fails is noted, and the rest goes on."""

    def __init__(self, client: Client, recursive: bool) -> None:
        self._data, self._recursive = client.data, recursive
        self.copied = 0
        self.failed: list[tuple[str, str]] = []

    def copy(self, sources: Sequence[str], target: str) -> None:
        """Copy all sources; into the target where that is a directory. Raises typer.BadParameter, ClientError."""
        if "-" in (*sources, target):
            self._piped(sources, target)
            return
        given = [one for place in sources for one in (expanded(self._data, [place]) if is_hosted(place) else [place])]
        if not is_hosted(target) and not all(map(is_hosted, given)):
            raise typer.BadParameter("one side must be hosted data: data://…")
        into = self._is_directory(target)
        if (len(given) > 1 or target.endswith("/")) and not into:
            raise typer.BadParameter(f"{target} is no directory")
        to = hosted(target) if is_hosted(target) else target
        for place in given:
            self._one(place, _below(to, _name(place)) if into else to)

    def _piped(self, sources: Sequence[str], target: str) -> None:
        [source] = sources if len(sources) == 1 else ["-"]
        if target == "-" and is_hosted(source):
            for chunk in self._data.read(hosted(source)):
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        elif sources == ["-"] and is_hosted(target) and not target.endswith("/"):
            self._data.write(iter(lambda: sys.stdin.buffer.read(_CHUNK), b""), hosted(target))
        else:
            raise typer.BadParameter("`-` goes with one address of a file: `cp - data://…` or `cp data://… -`")
        self.copied += 1

    def _one(self, source: str, target: str) -> None:
        """A file, or a directory with all that is in it."""
        with self._noting(source):
            if not self._is_directory(source):
                self._file(source, target)
                self.copied += 1
                return
            if not self._recursive:
                raise ClientError("it is a directory: copy it with -r")
            self._make_directory(target)
            for name in self._names(source):
                self._one(_below(source, name), _below(target, name))

    def _file(self, source: str, target: str) -> None:
        if not is_hosted(source):
            with transfer_bar(Path(source)) as moved:
                self._data.upload(Path(source), target, moved)
        elif not is_hosted(target):
            with transfer_bar(Path(target)) as moved:
                self._data.download(source, Path(target), moved)
        else:
            with transfer_bar(Path(_name(source))) as moved:
                self._data.write(self._data.read(source, moved), target)

    def _is_directory(self, place: str) -> bool:
        return self._data.kind(hosted(place)) == "directory" if is_hosted(place) else Path(place).is_dir()

    def _make_directory(self, place: str) -> None:
        if is_hosted(place):
            self._data.make_directory(place)
        else:
            Path(place).mkdir(exist_ok=True)

    def _names(self, place: str) -> list[str]:
        found = self._data.list(place) if is_hosted(place) else Path(place).iterdir()
        return sorted(one.name for one in found)

    @contextlib.contextmanager
    def _noting(self, place: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if error.http_status == _NO_KEY:
                raise
            self.failed.append((place, str(error)))
        except OSError as error:
            self.failed.append((place, error.strerror or str(error)))


def _name(place: str) -> str:
    return parted(hosted(place))[1] if is_hosted(place) else Path(place).resolve().name


def _below(place: str, name: str) -> str:
    return joined(place, name) if is_hosted(place) else str(Path(place) / name)
