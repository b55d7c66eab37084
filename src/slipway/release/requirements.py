"""A commit's requirement files: what they say together, and what of it concerns where packages come from."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec

from slipway.errors import BuildFailed
from slipway.release.manifest import inside

_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[=\s]\s*(\S+)")
_OPTION = re.compile(r"(--index-url|-i|--extra-index-url|--find-links|-f|--no-index|--pre|--trusted-host)\b")
_LOCAL = re.compile(r"(-e\b|--editable\b|\.{0,2}/|file:)|.*@\s*(file:|\.{0,2}/)")
_MOST_FILES = 50


class Requirements(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit asks for."""

    file: Path | None  # None: nothing
    texts: dict[str, str] = {}  # by path in the repository, files that it includes too
    options: tuple[str, ...] = ()  # lines that say where packages come from

    @property
    def empty(self) -> bool:
        """Whether there is nothing to install."""
        return not any(line for text in self.texts.values() for line in _lines(text) if not line.startswith("-"))

    @property
    def digest(self) -> str:
        """SHA-256 over all files and their names."""
        return hashlib.sha256(msgspec.json.encode(sorted(self.texts.items()))).hexdigest()


def read_requirements(directory: Path, file: str | None) -> Requirements:
    """What `file` and those that it includes say; raises BuildFailed for what could not be built elsewhere again."""
    if file is None:
        return Requirements(file=None)
    texts: dict[str, str] = {}
    options: list[str] = []
    waiting = [file]
    while waiting:
        name = waiting.pop()
        if name in texts:
            continue
        if len(texts) == _MOST_FILES:
            raise BuildFailed(f"{file} includes more than {_MOST_FILES} files")
        texts[name] = _read(directory, name)
        for number, line in enumerate(texts[name].splitlines(), start=1):
            line = _without_comment(line)
            if found := _INCLUDE.match(line):
                waiting.append(str(Path(name).parent / found[1]))
            elif _OPTION.match(line):
                options.append(_absolute(line, directory / Path(name).parent))
            elif _LOCAL.match(line):
                raise BuildFailed(
                    f"{name} line {number}: {line!r} is a path: put the package on an index or into the platform's"
                    " wheel folder, or its source beside yours"
                )
    return Requirements(file=directory / file, texts=texts, options=tuple(options))


def _read(directory: Path, name: str) -> str:
    try:
        return inside(directory, name, "the requirements file").read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BuildFailed(f"the repository has no {name}, which a requirements file includes") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BuildFailed(f"{name} cannot be read: {error}") from error


def _absolute(option: str, folder: Path) -> str:
    """The option as it reads from anywhere: a folder of wheels in the repository is named by its place."""
    flag, _, value = option.replace("=", " ", 1).partition(" ") if option.startswith("--") else option.partition(" ")
    value = value.strip()
    if not value or "://" in value or Path(value).is_absolute():
        return option
    return f"{flag} {(folder / value).resolve().as_uri()}"


def _lines(text: str) -> list[str]:
    return [line for line in map(_without_comment, text.splitlines()) if line]


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", line).strip()
