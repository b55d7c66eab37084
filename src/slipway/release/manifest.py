"""slipway.toml, `algorithmia.conf`, or neither: how a commit wants to be built and served."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from slipway.errors import BuildFailed
from slipway.release import template
from slipway.release.publish import Publication
from slipway.release.sections import LATER_KEYS, LATER_SECTIONS, SECTIONS, AlgorithmSection, Document, ModelSection
from slipway.release.sizes import parse_size
from slipway.settings import Settings
from slipway.types import Resources, Scaling

FILE = "slipway.toml"
CLASSIC_FILE = "algorithmia.conf"
_DEFAULT_REQUIREMENTS = "requirements.txt"
_LEAST_MEMORY = 16 * 2**20
_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<where>[^`]*)`", re.DOTALL)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """How to build and serve a commit, every default filled in."""

    entry: str  # file with `apply`, relative to the repository
    requirements: str | None = None  # file, relative to the repository
    python: str = ""
    hardware: Literal["cpu", "cuda"] = "cpu"
    resources: Resources
    scaling: Scaling
    models: dict[str, ModelSection] = {}
    sample_input: str = ""  # JSON; empty: none
    on_push: Publication | None = None


def read_manifest(directory: Path, name: str, settings: Settings) -> Manifest:
    """The manifest of the commit that lies in `directory`, of the algorithm `name`; raises BuildFailed."""
    document, text = _read(directory, name)
    if document.algorithm.language != "python":
        language = document.algorithm.language
        raise BuildFailed(f"the language {language!r} is not supported yet: python is{_line(text, 'language')}")
    manifest = _complete(document, text, settings)
    _require(directory, manifest.entry, "with `def apply(input)`, or name another file as `entry` under [algorithm]")
    if manifest.requirements is not None:
        _require(directory, manifest.requirements, "or name another file as `requirements` under [environment]")
        return manifest
    default = _DEFAULT_REQUIREMENTS if (directory / _DEFAULT_REQUIREMENTS).is_file() else None
    return msgspec.structs.replace(manifest, requirements=default)


def inside(directory: Path, path: str, what: str) -> Path:
    """`path` within the repository; raises BuildFailed where it leads outside, by a link too."""
    found = (directory / path).resolve()
    if Path(path).is_absolute() or not found.is_relative_to(directory.resolve()):
        raise BuildFailed(f"{what} {path!r} is not inside the repository")
    return found


def _read(directory: Path, name: str) -> tuple[Document, str]:
    if (directory / FILE).is_file():
        text = _text(inside(directory, FILE, "the file"), FILE)
        if not template.is_manifest(text, name):
            return _parse(text), text
        # Nobody has written it. What was pushed on top of the template may be made for Algorithmia, and the template's
        # sample input is the template's own.
        if not (directory / CLASSIC_FILE).is_file():
            return _untouched(directory, name, text), text
        classic = _classic(_text(inside(directory, CLASSIC_FILE, "the file"), CLASSIC_FILE), name)
        # The Python that the algorithm was made for is for what is pushed into it too.
        return msgspec.structs.replace(classic, environment=_parse(text).environment), ""
    if (directory / CLASSIC_FILE).is_file():
        return _classic(_text(inside(directory, CLASSIC_FILE, "the file"), CLASSIC_FILE), name), ""
    return Document(algorithm=AlgorithmSection(name=name)), ""


def _untouched(directory: Path, name: str, text: str) -> Document:
    document = _parse(text)
    source = directory / f"src/{name}.py"
    if not source.is_file() or template.is_source(source.read_bytes(), name):
        return document
    return msgspec.structs.replace(document, algorithm=AlgorithmSection(name=name))


def _text(file: Path, name: str) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BuildFailed(f"{name} cannot be read: {error}") from error


def _parse(text: str) -> Document:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BuildFailed(f"{FILE}: {error}") from error
    _check_names(values, text)
    try:
        return msgspec.convert(values, Document)
    except msgspec.ValidationError as error:
        raise BuildFailed(_explained(str(error), text)) from error


def _classic(text: str, name: str) -> Document:
    """A repository written for Algorithmia names itself and its language only."""
    try:
        values = json.loads(text)
        language = str(values.get("language", "python"))
        name = str(values.get("algoname") or name)
    except (ValueError, AttributeError) as error:
        raise BuildFailed(f"{CLASSIC_FILE} is no JSON object: {error}") from error
    supported = language.startswith("python") and not language.startswith("python2")
    return Document(algorithm=AlgorithmSection(name=name, language="python" if supported else language))


def _check_names(values: Mapping[str, Any], text: str) -> None:
    _known(values, [*SECTIONS, "models"], LATER_SECTIONS, "section", text)
    for section, kind in SECTIONS.items():
        if isinstance(keys := values.get(section), dict):
            _known(keys, _fields(kind), LATER_KEYS.get(section, frozenset()), f"key of [{section}]", text)
    models = values.get("models")
    for name, keys in models.items() if isinstance(models, dict) else ():
        if not _MODEL_NAME.fullmatch(name):
            raise BuildFailed(f"{FILE}: [models.{name}]: name a model with letters, digits, '.', '_' and '-'")
        if isinstance(keys, dict):
            _known(keys, _fields(ModelSection), LATER_KEYS["models"], f"key of [models.{name}]", text)


def _known(given: Iterable[str], known: Iterable[str], later: frozenset[str], what: str, text: str) -> None:
    known = list(known)
    for name in given:
        if name in later:
            raise BuildFailed(f"{FILE}: the {what} {name!r} is not supported yet{_line(text, name)}: take it out")
        if name not in known:
            similar = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {similar[0]!r}?" if similar else f"known are {', '.join(known)}"
            raise BuildFailed(f"{FILE}: unknown {what} {name!r}{_line(text, name)}: {advice}")


def _fields(kind: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind)]


def _explained(message: str, text: str) -> str:
    """`Expected …, got … - at `$.scaling.max_replicas`` as a person would say it."""
    found = _AT.fullmatch(message)
    missing = re.search(r"required field `(\w+)`", message)
    where = found["where"].replace("[...]", ".NAME") if found else ""
    if missing:
        section = where or missing[1]
        line = _line(text, section.rpartition(".")[2])
        return f"{FILE}: [{section}] is missing{f' its {missing[1]}' if where else ''}{line}"
    section, _, key = where.rpartition(".")
    what = found["what"] if found else message
    return f"{FILE}: [{section}] {key}{_line(text, key)}: {what[:1].lower()}{what[1:]}"


def _line(text: str, name: str) -> str:
    """` (line 7)` where the key or section is first named; nothing where it cannot be told."""
    named = re.compile(rf"\s*(?:\[\[?[^\]]*\b{re.escape(name)}\s*\]|[\"']?{re.escape(name)}[\"']?\s*=)")
    for number, line in enumerate(text.splitlines(), start=1):
        if named.match(line):
            return f" (line {number})"
    return ""


def _complete(document: Document, text: str, settings: Settings) -> Manifest:
    algorithm, environment, release = document.algorithm, document.environment, document.release
    sample = "" if algorithm.sample_input is msgspec.UNSET else _json(algorithm.sample_input)
    publication = None
    if release.on_push != "off":
        publication = Publication(version_type=release.on_push, callability=release.callability)
    return Manifest(
        entry=algorithm.entry or f"src/{algorithm.name}.py",
        requirements=environment.requirements or None,
        python=environment.python,
        hardware=environment.hardware,
        resources=Resources(cpu=document.resources.cpu, memory_bytes=_memory(document, text, settings)),
        scaling=_scaling(document, text, settings),
        models=document.models,
        sample_input=sample,
        on_push=publication,
    )


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except TypeError as error:
        raise BuildFailed(f"{FILE}: [algorithm] sample_input is no JSON: {error}") from error


def _memory(document: Document, text: str, settings: Settings) -> int:
    if document.resources.memory is None:
        return settings.memory_bytes
    try:
        memory = parse_size(document.resources.memory)
    except ValueError as error:
        raise BuildFailed(f"{FILE}: [resources] memory{_line(text, 'memory')}: {error}") from error
    if memory < _LEAST_MEMORY:
        raise BuildFailed(f"{FILE}: [resources] memory{_line(text, 'memory')}: at least 16 MiB are needed to start")
    return memory


def _scaling(document: Document, text: str, settings: Settings) -> Scaling:
    platform = {
        "max_replicas": max(settings.max_replicas, document.scaling.min_replicas),
        "idle_seconds": settings.idle_seconds,
        "queue_limit": settings.queue_limit,
        "timeout_seconds": settings.call_timeout_seconds,
    }
    given = {name: value for name, value in msgspec.structs.asdict(document.scaling).items() if value is not None}
    scaling = Scaling(**{**platform, **given})
    if scaling.max_replicas < scaling.min_replicas:
        line = _line(text, "max_replicas")
        raise BuildFailed(f"{FILE}: [scaling] max_replicas{line} is below min_replicas, {scaling.min_replicas}")
    return scaling


def _require(directory: Path, path: str, advice: str) -> None:
    if not inside(directory, path, "the file").is_file():
        raise BuildFailed(f"the repository has no {path}: add it {advice}")
