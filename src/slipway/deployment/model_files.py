"""Model files on their way into hosted data, and the manifest that names them there."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from slipway.client import Client
from slipway.connection import ClientError
from slipway.hosted_data import Progress


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model."""

    name: str  # as `slipway.model(NAME)` asks for it
    path: Path
    sha256: str

    def address(self, collection: str) -> str:
        """Where it is kept: its content is in the name, so that older versions keep finding theirs."""
        file = Path(self.name)
        return f"{collection}/{file.stem}-{self.sha256[:12]}{file.suffix}"


def find_model_files(names: Sequence[str], directory: Path, extra: Sequence[Path]) -> list[ModelFile]:
    """The files that the source names, beside it, and those given besides; raises ClientError if one is missing."""
    paths = {name: directory / name for name in names}
    paths |= {path.name: path for path in extra}
    found = []
    for name, path in paths.items():
        if not path.is_file():
            raise ClientError(f"the model file {path} is missing: save it before deploying, or give it with -f")
        with path.open("rb") as file:
            found.append(ModelFile(name=name, path=path, sha256=hashlib.file_digest(file, "sha256").hexdigest()))
    return found


def upload(client: Client, file: ModelFile, collection: str, progress: Progress | None = None) -> str:
    """Bring a file into hosted data, unless it is there; returns its address."""
    address = file.address(collection)
    if client.data.size(address) != file.path.stat().st_size:
        client.data.upload(file.path, address, progress)
    return address


def manifest(given: str, name: str, models: dict[str, tuple[str, str]], sample: object = None, entry: str = "") -> str:
    """slipway.toml: what the author wrote, or the least there must be, and a section for each model.

    `models`: name → its address and SHA-256; `entry`: the file with `apply`.
    Raises ClientError where the author's part is no TOML.
    """
    try:
        known = tomllib.loads(given)
    except tomllib.TOMLDecodeError as error:
        raise ClientError(f"slipway.toml: {error}") from error
    lines = [given.rstrip() or _least(name, entry, sample)]
    for model, (source, sha256) in models.items():
        if model not in known.get("models", {}):
            lines.append(f"[models.{json.dumps(model)}]\nsource = {json.dumps(source)}\nsha256 = {json.dumps(sha256)}")
    return "\n\n".join(lines) + "\n"


def _least(name: str, entry: str, sample: object) -> str:
    """The section that no manifest can do without."""
    lines = ["[algorithm]", f"name = {json.dumps(name)}"]
    if entry and entry != f"src/{name}.py":
        lines.append(f"entry = {json.dumps(entry)}")
    if sample is not None and (text := _toml(sample)):
        lines.append(f"sample_input = {text}")
    return "\n".join(lines)


def _toml(value: object) -> str:
    """A value in TOML's inline form; empty for what TOML cannot say."""
    if isinstance(value, (bool, int, float, str)):
        return json.dumps(value)
    if isinstance(value, list):
        parts = [_toml(item) for item in value]
        return f"[{', '.join(parts)}]" if all(parts) else ""
    if isinstance(value, dict):
        fields = {str(key): _toml(item) for key, item in value.items()}
        inside = ", ".join(f"{json.dumps(key)} = {item}" for key, item in fields.items())
        return f"{{{inside}}}" if all(fields.values()) else ""
    return ""
