"""What Algorithmia had installed for everybody: its client, which many repositories import without asking for it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from slipway.errors import BuildFailed
from slipway.release.hosts import Output
from slipway.release.manifest import CLASSIC_FILE
from slipway.release.requirements import read_requirements

CLIENT = "algorithmia>=2.0.5,<3"
# Clients before 1.5 take any release of this, and later ones lack what they import.
_WORKING = "algorithmia-api-client<1.5.2"
_CONSTRAINTS = "constraints.txt"
FOLDER = ".slipway"  # what builds put beside an author's files
_IMPORT = re.compile(rb"^\s*(?:import|from)\s+Algorithmia\b", re.MULTILINE)
_LISTED = re.compile(r"^\s*algorithmia\s*(?:[\[<>=!~;@#]|$)", re.MULTILINE | re.IGNORECASE)


def with_client(directory: Path, requirements: str | None, output: Output) -> str | None:
    """The requirements file to build with: where the client is imported, one that sees to it that it can be.

    Only repositories that were made for Algorithmia are treated so. Raises BuildFailed.
    """
    own = directory / FOLDER
    if os.path.lexists(own):
        raise BuildFailed(f"the repository has a folder {FOLDER}, whose name is the platform's: rename it")
    if not (directory / CLASSIC_FILE).is_file() or not _imports_client(directory):
        return requirements
    lines = [f"-r ../{requirements}"] if requirements else []
    lines.append(f"-c {_CONSTRAINTS}")
    listed = read_requirements(directory, requirements).texts.values()
    if not any(map(_LISTED.search, listed)):
        output(f"the code imports Algorithmia, which the requirements do not name: {CLIENT} is added")
        lines.append(CLIENT)
    own.mkdir()
    (own / _CONSTRAINTS).write_text(f"{_WORKING}\n")
    (own / "requirements.txt").write_text("".join(f"{line}\n" for line in lines))
    return f"{FOLDER}/requirements.txt"


def _imports_client(directory: Path) -> bool:
    return any(file.is_file() and _IMPORT.search(file.read_bytes()) for file in directory.rglob("*.py"))
