"""Hosted data, `data://owner/directory/file`, as a client sees it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import quote

from slipway.connection import ClientError, Connection
from slipway.resources import Entry, Upload

Progress = Callable[[int, int], None]  # bytes so far, bytes in all

_CHUNK = 256 * 1024
_DIGITS = 64  # of a SHA-256 in hex


class HostedData:
    """Files and directories on one platform; every method raises ClientError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def make_directory(self, path: str) -> None:
        """Make `data://owner/name` unless it is there; its parent must be."""
        parent, _, name = path.removeprefix("data://").strip("/").rpartition("/")
        self._connection.request("POST", _address(parent), json={"name": name})

    def share(self, path: str, acl: list[str]) -> None:
        """Say who may read a directory beside its owner: `[]`, `["algo://.my/*"]`, `["user://*"]`, …"""
        self._connection.request("PATCH", _address(path), json={"acl": {"read": acl}})

    def size(self, path: str) -> int | None:
        """A file's size in bytes; None where there is no file."""
        try:
            response = self._connection.request("HEAD", _address(path))
        except ClientError as error:
            if error.http_status == 404:
                return None
            raise
        is_file = response.headers.get("X-Data-Type") == "file"
        return int(response.headers["Content-Length"]) if is_file else None

    def list(self, path: str) -> list[Entry]:
        """What is in a directory: directories, then files."""
        folders: list[Entry] = []
        files: list[Entry] = []
        query: dict[str, str] = {}
        while True:
            found = self._connection.decoded(dict[str, Any], "GET", _address(path), params=query)
            folders += [Entry(name=folder["name"], directory=True) for folder in found["folders"]]
            files += [
                Entry(name=file["filename"], size=file["size"], last_modified=file["last_modified"])
                for file in found["files"]
            ]
            if not found.get("marker"):
                return folders + files
            query = {"marker": found["marker"]}

    def upload(self, file: Path, path: str, progress: Progress | None = None) -> Upload:
        """Write a local file to `data://owner/directory/name`, whole or not at all."""
        size = file.stat().st_size
        with file.open("rb") as source:
            return self._connection.decoded(
                Upload,
                "PUT",
                _address(path),
                content=_chunks(source, size, progress),
                headers={"Content-Length": str(size), "Content-Type": "application/octet-stream"},
            )

    def write(self, chunks: Iterable[bytes], path: str) -> Upload:
        """Write what comes, of any length, to `data://owner/directory/name`, whole or not at all."""
        headers = {"Content-Type": "application/octet-stream"}
        return self._connection.decoded(Upload, "PUT", _address(path), content=chunks, headers=headers)

    def read(self, path: str, progress: Progress | None = None) -> Iterator[bytes]:
        """A file's bytes as they come. Raises ClientError, at the end too where they are not what was kept."""
        digest, done = hashlib.sha256(), 0
        with self._connection.stream("GET", _address(path)) as response:
            if response.headers.get("X-Data-Type") == "directory":
                raise ClientError(f"{path} is a directory")
            size = int(response.headers.get("Content-Length", 0))
            for chunk in response.iter_bytes(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                yield chunk
                if progress is not None:
                    progress(done, size)
        expected = response.headers.get("ETag", "").strip('"')
        if len(expected) == _DIGITS and expected != digest.hexdigest():
            raise ClientError(f"{path} arrived damaged: its SHA-256 is {digest.hexdigest()}, not {expected}")

    def download(self, path: str, file: Path, progress: Progress | None = None) -> None:
        """Read a hosted file into a local one, which is whole, its SHA-256 checked, or not there."""
        partial = file.with_name(f".{file.name}.{os.getpid()}.part")
        try:
            with partial.open("wb") as out:
                for chunk in self.read(path, progress):
                    out.write(chunk)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)

    def kind(self, path: str) -> Literal["file", "directory"] | None:
        """What is there; None for nothing."""
        try:
            response = self._connection.request("HEAD", _address(path))
        except ClientError as error:
            if error.http_status == 404:
                return None
            raise
        return "directory" if response.headers.get("X-Data-Type") == "directory" else "file"

    def delete(self, path: str, force: bool = False) -> None:
        """Remove a file, or a directory that is empty unless `force`."""
        self._connection.request("DELETE", _address(path), params={"force": "true"} if force else {})


def _address(path: str) -> str:
    return f"/v1/data/{quote(path.removeprefix('data://').strip('/'))}"


def _chunks(source: BinaryIO, size: int, progress: Progress | None) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk
        if progress is not None:
            progress(source.tell(), size)
