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
FOLDER = ".slipway"  # what builds put beside an author's files
_IMPORT = re.compile(rb"^\s*(?:import|from)\s+Algorithmia\b", re.MULTILINE)
_LISTED = re.compile(r"^\s*algorithmia\s*(?:[\[<>=!~;@#]|$)", re.MULTILINE | re.IGNORECASE)


def with_client(directory: Path, requirements: str | None, output: Output) -> str | None:
    """The requirements file to build with: where the client is imported and not asked for, one that adds it.

    Only repositories that were made for Algorithmia are treated so. Raises BuildFailed.
    """
    own = directory / FOLDER
    if os.path.lexists(own):
        raise BuildFailed(f"the repository has a folder {FOLDER}, whose name is the platform's: rename it")
    if not (directory / CLASSIC_FILE).is_file() or not _imports_client(directory):
        return requirements
    listed = read_requirements(directory, requirements).texts.values()
    if any(map(_LISTED.search, listed)):
        return requirements
    output(f"the code imports Algorithmia, which the requirements do not name: {CLIENT} is added")
    own.mkdir()
    included = f"-r ../{requirements}\n" if requirements else ""
    (own / "requirements.txt").write_text(f"{included}{CLIENT}\n")
    return f"{FOLDER}/requirements.txt"


def _imports_client(directory: Path) -> bool:
    return any(file.is_file() and _IMPORT.search(file.read_bytes()) for file in directory.rglob("*.py"))
