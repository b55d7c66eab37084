"""Which modules an environment's zygote imports ahead: what loading its versions was seen to import."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path


def known_modules(environments: Path, digest: str) -> list[str]:
    """The modules remembered for an environment, in the order of their import."""
    try:
        found = json.loads(_file(environments, digest).read_text())
    except (OSError, ValueError):
        return []
    return [name for name in found if isinstance(name, str)]


def remember_modules(environments: Path, digest: str, modules: Sequence[str]) -> list[str]:
    """Add to what is remembered; returns all of it."""
    known = known_modules(environments, digest)
    merged = list(dict.fromkeys([*known, *modules]))
    if merged != known:
        file = _file(environments, digest)
        temporary = file.with_suffix(f".{os.getpid()}")
        try:
            temporary.write_text(json.dumps(merged))
            temporary.rename(file)
        except OSError:
            # Without it the next zygote merely starts colder.
            temporary.unlink(missing_ok=True)
    return merged


def _file(environments: Path, digest: str) -> Path:
    return environments / f"{digest}.preload"
