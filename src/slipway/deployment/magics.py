"""What only IPython understands in a cell: left out of the source; `%pip install` says what it needs."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

# These run the rest of their cell as Python; every other `%%…` takes it for something else.
_KEEP_THE_CELL = ("time", "timeit", "capture", "prun")
_LINE = re.compile(r"(?P<indent>\s*)(?:[%!]|[A-Za-z_][\w., ]*=\s*[%!]|\?{1,2}\w|[\w.]+\?{1,2}\s*$)")
_INSTALL = re.compile(r"\s*[%!]\s*(?:\S+\s+-m\s+)?(?:uv\s+)?pip3?\s+install\s+(?P<words>.*)")
_OPTIONS_WITH_VALUE = (
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "-c",
    "--constraint",
    "-t",
    "--target",
)
_REQUIREMENT = re.compile(r"[A-Za-z0-9]")


def without_magics(text: str) -> str:
    """The cell's Python, line for line; nothing of a cell that is something else, such as `%%bash`."""
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return ""
    if lines[first].startswith("%%"):
        if lines[first][2:].split(" ")[0].strip() not in _KEEP_THE_CELL:
            return ""
        lines[first] = ""
        text = "\n".join(lines)
    # A line may begin with `%` inside brackets: what is Python already stays as it is.
    if _is_python(text):
        return text
    return "\n".join(_plain(line) for line in lines)


def installs(text: str, directory: Path) -> Iterator[str]:
    """The requirements that a cell installs; of `-r FILE`, beside the notebook, the lines."""
    for line in text.splitlines():
        if found := _INSTALL.match(line):
            yield from _requirements(_words(found["words"]), directory)


def _requirements(words: list[str], directory: Path) -> Iterator[str]:
    waiting = iter(words)
    for word in waiting:
        if word in ("-r", "--requirement"):
            file = directory / next(waiting, "")
            yield from file.read_text().splitlines() if file.is_file() else ()
        elif word in _OPTIONS_WITH_VALUE:
            next(waiting, "")
        elif _REQUIREMENT.match(word):
            yield word


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return []


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _plain(line: str) -> str:
    found = _LINE.match(line)
    return f"{found['indent']}pass" if found else line
