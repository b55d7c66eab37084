"""uv's commands and surroundings: the one place that knows its options."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import uv

from slipway.settings import Settings

_WHEELS_ONLY = "--no-build"
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


def apart(settings: Settings, scratch: Path) -> dict[str, str]:
    """The same where packages are built from their sources: with a cache and a home of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE") if name in os.environ}
    own = {"HOME": str(scratch), "UV_CACHE_DIR": str(scratch / "cache"), "TMPDIR": str(scratch)}
    return {**kept, **own, "UV_NO_PROGRESS": "1", "UV_NO_WRAP": "1", "NO_COLOR": "1", **index(settings)}


def seen_apart(settings: Settings, interpreter: str) -> list[str]:
    """What it must be able to read there."""
    wheels = [str(Path(settings.find_links).expanduser().resolve())] if settings.find_links else []
    prefix = str(Path(interpreter).resolve().parents[1])
    return [str(Path(_binary()).resolve().parent), prefix, *wheels, "/etc/resolv.conf", "/etc/hosts"]


def index(settings: Settings) -> dict[str, str]:
    """Where packages come from, as the platform's settings say."""
    given = {
        "UV_DEFAULT_INDEX": settings.index_url,
        "UV_INDEX": " ".join(settings.extra_index_urls),
        "UV_FIND_LINKS": str(Path(settings.find_links).expanduser().resolve()) if settings.find_links else "",
        "UV_OFFLINE": "1" if settings.offline else "",
    }
    return {name: value for name, value in given.items() if value}


def compile_command(requirements: Path, lock: Path, interpreter: str, sources: bool = False) -> list[str]:
    """Resolve requirements to pinned versions with the hashes of their files. `sources`: see `install_command`."""
    options = ("--quiet", "--no-header", "--no-annotate", "--generate-hashes", "--python", interpreter)
    command = [_binary(), "pip", "compile", str(requirements), "--output-file", str(lock), *options]
    return command if sources else [*command, _WHEELS_ONLY]


def create_command(directory: Path, interpreter: str) -> list[str]:
    """Make an empty environment that may be renamed."""
    return [_binary(), "venv", "--quiet", "--no-project", "--relocatable", "--python", interpreter, str(directory)]


def install_command(directory: Path, lock: Path, sources: bool = False) -> list[str]:
    """Install a lock. Files are copied: a write through a hard link would corrupt uv's cache for every environment.

    With `sources`, packages without a wheel are built, which runs their code.
    """
    python = str(python_of(directory))
    command = [_binary(), "pip", "install", "--python", python, "--no-deps", "--link-mode", "copy", "-r", str(lock)]
    return command if sources else [*command, _WHEELS_ONLY]


def bytecode_command(interpreter: Path, directories: Iterable[Path]) -> list[str]:
    """Compile all Python files below `directories` with two processes; files that are not valid are passed over."""
    # Nothing below may change afterwards, so bytecode need not be compared with its source ever again.
    options = ("-qq", "-j2", "--invalidation-mode", "unchecked-hash")
    # Without `site`: what a package has put into a .pth file would run here, outside of any sandbox.
    return [str(interpreter), "-I", "-S", "-m", "compileall", *options, *map(str, directories)]


def python_of(directory: Path) -> Path:
    """The interpreter of an environment."""
    return directory / "bin" / "python"


def _binary() -> str:
    return str(uv.find_uv_bin())
