"""A notebook as the source file of an algorithm: `apply`, `load`, and what these need; never the training.

Where cells carry the tag `slipway`, or begin with `#| export`, those are the source, as they are. Otherwise it is made
of `apply`, `load` and `SAMPLE_INPUT`, and of the imports, functions, classes and constants of the notebook that they
refer to, in its order. What is computed in a cell is never run again: who refers to it is told so.

A notebook is JSON with few keys that matter here, so nbformat is not needed; with it every client would get jsonschema.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import msgspec

from slipway.connection import ClientError
from slipway.deployment.magics import installs, without_magics
from slipway.deployment.slicing import Statement, joined, needed, statements

TAG = "slipway"
_MAJOR_FORMAT = 4
_MARK = re.compile(r"#\s*\|\s*exports?\b")


class Notebook(msgspec.Struct, frozen=True):
    """What of a notebook is deployed."""

    source: str  # Python
    installs: tuple[str, ...]  # requirements that its cells install with pip


class _Cell(msgspec.Struct, frozen=True):
    """One code cell; cells of text are counted too."""

    number: int  # from 1 on
    text: str
    tagged: bool

    def described(self, name: str) -> str:
        """`model.ipynb, cell 3`."""
        return f"{name}, cell {self.number}"


def read(file: Path) -> Notebook:
    """The source in a notebook. Raises ClientError where it is none, or `apply` needs what was computed in a cell."""
    cells = _code_cells(file)
    found = tuple(requirement for cell in cells for requirement in installs(cell.text, file.parent))
    tagged = [cell for cell in cells if cell.tagged]
    body = _whole(tagged, file.name) if tagged else _parts(cells, file.name)
    return Notebook(f"# Made from {file.name} by `slipway deploy`.\n\n{body}", found)


def _code_cells(file: Path) -> list[_Cell]:
    document = _document(file)
    cells = []
    for number, cell in enumerate(document["cells"], start=1):
        if cell.get("cell_type") == "code":
            source = cell.get("source", "")
            text = source if isinstance(source, str) else "".join(source)
            tags = cell.get("metadata", {}).get("tags", [])
            cells.append(_Cell(number, text, TAG in tags or _MARK.match(text.lstrip()) is not None))
    return cells


def _document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
        metadata, major = document.get("metadata", {}), document["nbformat"]
        language = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ClientError(f"{file.name} is no notebook: it holds no JSON of Jupyter's form") from error
    if major != _MAJOR_FORMAT or not isinstance(document.get("cells"), list):
        raise ClientError(f"{file.name} is of notebook format {major}: open it in a current Jupyter and save it again")
    if language not in (None, "python"):
        raise ClientError(f"{file.name} is a notebook in {language}: only those in Python can be deployed")
    return dict(document)


def _whole(cells: list[_Cell], name: str) -> str:
    """All of the tagged cells."""
    texts = [f"# {cell.described(name)}\n{without_magics(cell.text).strip()}\n" for cell in cells]
    for cell in cells:
        _parse(cell, name)
    return "\n\n".join(texts)


def _parts(cells: list[_Cell], name: str) -> str:
    """What `apply` and `load` need of cells that say nothing about being deployed."""
    found: list[Statement] = []
    problems: list[ClientError] = []
    for cell in cells:
        try:
            found += statements(_parse(cell, name), without_magics(cell.text), cell.number)
        except ClientError as error:
            # Perhaps a sketch; it matters only where `apply` turns out to be missing.
            problems.append(error)
    if not any("apply" in statement.binds for statement in found):
        problems.append(ClientError(f"no cell of {name} defines `def apply(input)`: that is what a call runs"))
        raise problems[0]
    return joined(needed(found, name))


def _parse(cell: _Cell, name: str) -> ast.Module:
    try:
        return ast.parse(without_magics(cell.text))
    except SyntaxError as error:
        raise ClientError(f"{cell.described(name)}, line {error.lineno}: {error.msg}") from error
