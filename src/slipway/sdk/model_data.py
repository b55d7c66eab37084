"""The files that `model_manifest.json` names, for `load(model_data)`: fetched, compared, kept by name.

`algo freeze` writes `model_manifest.json.freeze` beside it, with the MD5 of each file and one over itself; where there
is one, it counts.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import tempfile
from typing import Any, Dict, NamedTuple, Optional
from urllib.parse import quote

from slipway.sdk import platform

# Where a build has put required files already, each named by the SHA-256 of its address, with its MD5 beside it.
FETCHED = os.path.join(".slipway", "files")
CHECKSUM = ".md5"
_CHUNK = 1 << 20


class ModelFileError(Exception):
    """A model file cannot be had, is not the one that was frozen, or the manifest does not name it."""

    error_type = "LoadingError"


class FileData(NamedTuple):
    """A file that is there."""

    md5_checksum: str
    file_path: str


class ModelData:
    """Model files by name, and whatever an author's `load` keeps here by `model_data[NAME] = VALUE`."""

    def __init__(self, client: Any, model_manifest_path: str) -> None:
        self._client = client
        self.manifest_reg_path = model_manifest_path
        self.manifest_frozen_path = f"{model_manifest_path}.freeze"
        self.using_frozen = os.path.exists(self.manifest_frozen_path)
        self.manifest_data: Optional[Dict[str, Any]] = self.get_manifest()
        self.models: Dict[str, FileData] = {}
        self._values: Dict[str, Any] = {}

    @property
    def client(self) -> Any:
        """The client that the author gave, or one of the installed `Algorithmia`."""
        if self._client is None:
            # Only the environment knows whether it has one.
            self._client = importlib.import_module("Algorithmia").client()
        return self._client

    def __getitem__(self, key: str) -> Any:
        """What was kept under that name; raises KeyError."""
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Keep a value."""
        self._values[key] = value

    def __contains__(self, key: str) -> bool:
        """Whether a value was kept under that name."""
        return key in self._values

    def __bool__(self) -> bool:
        """Always: `load` returns it for `apply`, even with nothing in it."""
        return True

    def data(self) -> Dict[str, Any]:
        """The values that were kept."""
        return dict(self._values)

    def available(self) -> bool:
        """Whether the repository has a manifest."""
        return bool(self.manifest_data)

    def initialize(self) -> None:
        """Have all required files. Raises ModelFileError."""
        for entry in self._entries("required_files"):
            if entry["name"] in self.models:
                raise ModelFileError(f"{self.manifest_reg_path} gives the name {entry['name']!r} to two files")
            self._have(entry)

    def get_model(self, model_name: str) -> str:
        """The path of a file, which is fetched now where it is an optional one. Raises ModelFileError."""
        if model_name not in self.models:
            self.find_optional_model(model_name)
        return self.models[model_name].file_path

    def find_optional_model(self, file_name: str) -> None:
        """Fetch an optional file. Raises ModelFileError."""
        if not self.available():
            raise ModelFileError(f"there is no model {file_name!r}: the repository has no {self.manifest_reg_path}")
        for entry in self._entries("optional_files"):
            if entry["name"] == file_name:
                self._have(entry)
                return
        raise ModelFileError(f"{self.manifest_reg_path} names no model {file_name!r}")

    def get_manifest(self) -> Optional[Dict[str, Any]]:
        """The frozen manifest, else the other, else None. Raises ModelFileError where it is not as it was frozen."""
        path = self.manifest_frozen_path if self.using_frozen else self.manifest_reg_path
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            manifest: Dict[str, Any] = json.load(file)
        if self.using_frozen and not is_as_frozen(manifest):
            raise ModelFileError(f"{path} was changed after it was frozen: run `algo freeze` again")
        return manifest

    def _entries(self, kind: str) -> Any:
        return (self.manifest_data or {}).get(kind) or []

    def _have(self, entry: Dict[str, Any]) -> None:
        name, address = entry["name"], entry["source_uri"]
        file = fetched_before(address) or self._fetch(name, address)
        expected = entry.get("md5_checksum")
        if expected and file.md5_checksum != expected:
            differs = f"the model file {name!r} is not the one that was frozen: {address} has MD5 {file.md5_checksum}"
            if entry.get("fail_on_tamper"):
                raise ModelFileError(f"{differs}, not {expected}")
            print(f"{differs}, not {expected}; it is used all the same, since fail_on_tamper is off")
        self.models[name] = file

    def _fetch(self, name: str, address: str) -> FileData:
        try:
            path = download(address) if self._client is None else self._by_client(address)
        except Exception as error:
            raise ModelFileError(f"the model file {name!r} cannot be had from {address}: {error}") from error
        return FileData(md5_of_file(path), path)

    def _by_client(self, address: str) -> str:
        with self._client.file(address).getFile() as file:
            return str(file.name)


def download(address: str) -> str:
    """The path of a file with what lies at a `data://` or connector's address. Raises OSError."""
    scheme, _, place = address.partition("://")
    if scheme == "file":
        return place
    target = quote(f"/v1/data/{place}" if scheme == "data" else f"/v1/connector/{scheme}/{place}")
    with tempfile.NamedTemporaryFile(delete=False) as file:
        answer = platform.download(target, file)
    if answer.status == 200 and answer.headers.get("x-data-type") != "directory":
        return file.name
    os.unlink(file.name)
    if answer.status == 200:
        raise IsADirectoryError("it is a directory")
    raise FileNotFoundError(_refusal(answer))


def _refusal(answer: platform.Response) -> str:
    if "x-error-message" in answer.headers:
        return answer.headers["x-error-message"]
    try:
        return str(json.loads(answer.body)["error"]["message"])
    except (KeyError, TypeError, ValueError):
        return f"the platform answers {answer.status}"


def is_as_frozen(manifest: Dict[str, Any]) -> bool:
    """Whether a frozen manifest has the checksum that it carries: MD5 over how Python prints the rest of it."""
    rest = {key: value for key, value in manifest.items() if key != "lock_checksum"}
    return str(manifest.get("lock_checksum")) == md5_hex(str(rest).encode())


def place_of(address: str) -> str:
    """Where in a version's directory a build puts the file of an address."""
    return os.path.join(FETCHED, hashlib.sha256(address.encode()).hexdigest())


def fetched_before(address: str) -> Optional[FileData]:
    """The file that the build has put there, if it has."""
    path = os.path.abspath(place_of(address))
    if not os.path.exists(path + CHECKSUM):
        return None
    with open(path + CHECKSUM) as checksum:
        return FileData(checksum.read().strip(), path)


def md5_of_file(path: str) -> str:
    """In hex, a piece of the file at a time."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def md5_hex(data: bytes) -> str:
    """MD5, which compares here and protects nothing."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
