"""uv's commands and surroundings: the one place that knows its options."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import uv

from slipway.settings import Settings

# Of the platform's own environment: what would lead uv to another Python, or keep bytecode from being written.
_LEFT_OUT = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON")


def environment(settings: Settings) -> dict[str, str]:
    """The whole environment of a uv process. Addresses may hold passwords, so they are not put on the command line."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _LEFT_OUT and not name.startswith(("SLIPWAY_", "GIT_"))
    }
    return {
        **kept,
        "UV_NO_PROGRESS": "1",
        "UV_NO_WRAP": "1",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        **index(settings),
    }


def index(settings: Settings) -> dict[str, str]:
    """Where packages come from, as the platform's settings say."""
    given = {
        "UV_DEFAULT_INDEX": settings.index_url,
        "UV_INDEX": " ".join(settings.extra_index_urls),
        "UV_FIND_LINKS": str(Path(settings.find_links).expanduser().resolve()) if settings.find_links else "",
        "UV_OFFLINE": "1" if settings.offline else "",
    }
    return {name: value for name, value in given.items() if value}


def compile_command(requirements: Path, lock: Path, interpreter: str) -> list[str]:
    """Resolve requirements to pinned versions with the hashes of their files."""
    options = ("--quiet", "--no-header", "--no-annotate", "--generate-hashes", "--python", interpreter)
    return [_binary(), "pip", "compile", str(requirements), "--output-file", str(lock), *options]


def create_command(directory: Path, interpreter: str) -> list[str]:
    """Make an empty environment that may be renamed."""
    return [_binary(), "venv", "--quiet", "--no-project", "--relocatable", "--python", interpreter, str(directory)]


def install_command(directory: Path, lock: Path) -> list[str]:
    """Install a lock. Files are copied: a write through a hard link would corrupt uv's cache for every environment."""
    python = str(python_of(directory))
    return [_binary(), "pip", "install", "--python", python, "--no-deps", "--link-mode", "copy", "-r", str(lock)]


def bytecode_command(interpreter: Path, directories: Iterable[Path]) -> list[str]:
    """Compile all Python files below `directories` with two processes; files that are not valid are passed over."""
    # Nothing below may change afterwards, so bytecode need not be compared with its source ever again.
    options = ("-qq", "-j2", "--invalidation-mode", "unchecked-hash")
    return [str(interpreter), "-I", "-m", "compileall", *options, *map(str, directories)]


def python_of(directory: Path) -> Path:
    """The interpreter of an environment."""
    return directory / "bin" / "python"


def _binary() -> str:
    return str(uv.find_uv_bin())
