"""What can be deployed: a directory, a Python file, a notebook. Each becomes the files of a repository."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from slipway.connection import ClientError
from slipway.deployment import dependencies, directories, notebooks, source_reading
from slipway.deployment.model_files import ModelFile, find_model_files

MANIFEST = "slipway.toml"
CLASSIC = "algorithmia.conf"
REQUIREMENTS = "requirements.txt"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What is deployed, whatever it was."""

    label: str  # for people
    name: str  # of the algorithm, where nobody says otherwise
    files: dict[str, bytes]  # by path in the repository
    entry: str = ""  # the file with `apply`, for the manifest that is written where the author wrote none
    models: Sequence[ModelFile] = ()
    sample: Any = source_reading.MISSING
    whole: bool = False  # what else is in the repository goes


def read(path: Path, requirements: Path | None = None, extra: Sequence[Path] = (), name: str = "") -> Source:
    """The source at a path. Raises ClientError saying what is missing.

    `extra`: model files beside those that it names; `name`: the algorithm's, where it is known.
    """
    if path.is_dir():
        return _directory(path, requirements, extra)
    if path.suffix == ".py":
        content = _read(path)
        found = dependencies.find(path, content.decode(errors="replace"))
        return _single(path, content, requirements, found, extra, name)
    if path.suffix == ".ipynb":
        notebook = notebooks.read(path)
        found = dependencies.find(path, notebook.source)
        if found is None and notebook.installs:
            found = "".join(f"{one}\n" for one in notebook.installs).encode()
        return _single(path, notebook.source.encode(), requirements, found, extra, name)
    if not path.exists():
        raise ClientError(f"there is no {path}")
    raise ClientError(f"{path.name} is neither a directory nor a Python file (.py) nor a notebook (.ipynb)")


def _single(
    path: Path, content: bytes, requirements: Path | None, found: bytes | None, extra: Sequence[Path], name: str
) -> Source:
    """A file, or what became one, with its requirements, its models and a manifest that lies beside it."""
    tree = source_reading.parse_text(content, path.name)
    listed = found if requirements is None else _read(requirements)
    dependencies.check(path.name, tree, [path.parent], alone=True, given=listed is not None)
    beside = path.parent / MANIFEST
    files = {MANIFEST: _read(beside)} if beside.is_file() else {}
    told = _told(files)
    name = told.name or name or algorithm_name(path.stem)
    entry = told.entry or f"src/{name}.py"
    files |= {entry: content} | ({REQUIREMENTS: listed} if listed is not None else {})
    return Source(
        label=path.name,
        name=name,
        files=files,
        entry=entry,
        models=find_model_files(source_reading.model_files(tree), path.parent, extra),
        sample=source_reading.sample_input(tree),
    )


def _directory(directory: Path, requirements: Path | None, extra: Sequence[Path]) -> Source:
    files = directories.read(directory)
    if requirements is not None:
        files[REQUIREMENTS] = _read(requirements)
    told = _told(files)
    name = algorithm_name(told.name or directory.resolve().name)
    tree, entry = None, told.entry
    if told.language.startswith("python"):
        entry = _entry(directory, files, told, name)
        tree = source_reading.parse_text(files[entry], entry)
        places = [directory, (directory / entry).parent]
        dependencies.check(entry, tree, places, alone=False, given=told.requirements or REQUIREMENTS in files)
    return Source(
        label=directory.resolve().name,
        name=name,
        files=files,
        entry=entry,
        models=find_model_files((), directory, extra),
        sample=source_reading.MISSING if tree is None else source_reading.sample_input(tree),
        whole=True,
    )


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a repository's own manifest says of it; the platform reads the rest."""

    file: str = ""  # the manifest; empty: there is none
    name: str = ""
    language: str = "python"
    entry: str = ""
    requirements: bool = False  # names a requirements file


def _told(files: Mapping[str, bytes]) -> _Told:
    try:
        if MANIFEST in files:
            document = tomllib.loads(files[MANIFEST].decode())
            algorithm, environment = document.get("algorithm", {}), document.get("environment", {})
            return _Told(
                file=MANIFEST,
                name=str(algorithm.get("name", "")),
                language=str(algorithm.get("language", "python")),
                entry=str(algorithm.get("entry", "")),
                requirements=bool(environment.get("requirements")),
            )
        if CLASSIC in files:
            values = json.loads(files[CLASSIC])
            name, language = str(values.get("algoname", "")), str(values.get("language", "python"))
            return _Told(file=CLASSIC, name=name, language=language)
    except (ValueError, AttributeError) as error:
        raise ClientError(f"{MANIFEST if MANIFEST in files else CLASSIC}: {error}") from error
    return _Told()


def _entry(directory: Path, files: Mapping[str, bytes], told: _Told, name: str) -> str:
    """The file with `apply`: the one that is named, or the only one there is."""
    usual = told.entry or f"src/{told.name or name}.py"
    if usual in files:
        return usual
    if told.file:
        raise ClientError(f"{directory} has no {usual}, which by its {told.file} is the file with `apply`")
    own = [file for file in files if file.endswith(".py") and file.removeprefix("src/").count("/") == 0]
    found = [file for file in own if source_reading.has_apply(files[file])]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ClientError(f"no Python file in {directory} or its src has `def apply(input)`: that is what a call runs")
    raise ClientError(
        f"{', '.join(sorted(found))} all have `apply`: name the right one in {MANIFEST}, as `entry` under [algorithm]"
    )


def algorithm_name(text: str) -> str:
    """A name as algorithms may have it, made from that of a file or a directory."""
    return _NOT_IN_NAMES.sub("_", text).lstrip("0123456789_-") or "algorithm"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from error
