"""Which Python interpreters this machine has, and which of them a commit gets."""

from __future__ import annotations

import asyncio
import glob
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from slipway.errors import BuildFailed

SUPPORTED = ((3, 9), (3, 13))  # the runner's range, both ends included
_PROBE_SECONDS = 10.0
_CLAUSE = re.compile(r"(>=|<=|==|!=|~=|>|<)?\s*(\d+(?:\.\d+){0,2})(\.\*)?")
_PROGRAM = """
import json, platform, sys, sysconfig
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "final": sys.version_info[3] == "final",
    "build": "|".join([sys.implementation.name, sys.version, str(sysconfig.get_config_var("SOABI"))]),
    "platform": sysconfig.get_platform() + "|" + "-".join(platform.libc_ver()),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"""


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python that was found."""

    path: str  # absolute, links resolved
    version: tuple[int, int, int]
    final: bool = True
    build: str  # tells builds of one version apart, wherever they are installed
    platform: str
    free_threaded: bool = False
    shared: bool = False  # every user of the machine can run it

    @property
    def version_text(self) -> str:
        """`3.11.7`."""
        return ".".join(map(str, self.version))


class Interpreters:
    """Probes once and remembers: a file that was not there, or changed since, is probed anew."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self._extra = tuple(extra)
        self._known: dict[tuple[str, float], Interpreter | None] = {}

    async def find(self) -> list[Interpreter]:
        """Every supported interpreter, in the order of `_candidates`."""
        paths = await asyncio.to_thread(_candidates, self._extra)
        found = await asyncio.gather(*(self._probe(path) for path in paths))
        return [interpreter for interpreter in found if interpreter is not None]

    async def choose(self, wanted: str) -> Interpreter:
        """The interpreter for `3.11`, `>=3.10,<3.13`, or `` (the platform's own version). Raises BuildFailed."""
        return choose(await self.find(), wanted)

    async def _probe(self, path: Path) -> Interpreter | None:
        try:
            key = str(path), path.stat().st_mtime
        except OSError:
            return None
        if key not in self._known:
            self._known[key] = await _ask(path)
        return self._known[key]


def choose(found: Sequence[Interpreter], wanted: str) -> Interpreter:
    """Of those that satisfy `wanted`: the platform's own minor version, else the newest; shared ones first."""
    fitting = [interpreter for interpreter in found if satisfies(interpreter.version, wanted)]
    if not fitting:
        names = ", ".join(sorted({f.version_text for f in found}, key=_order)) or "none"
        raise BuildFailed(f"no Python {wanted or 'interpreter'} on this machine: found {names}")
    # `max` keeps the first of equals, and the platform's own interpreter is found first.
    return max(fitting, key=_preference)


def satisfies(version: tuple[int, int, int], wanted: str) -> bool:
    """Whether a version meets every comma-separated clause; raises BuildFailed on what is no clause."""
    return all(_meets(version, clause.strip()) for clause in wanted.split(",")) if wanted.strip() else True


def _meets(version: tuple[int, ...], clause: str) -> bool:
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        raise BuildFailed(f"[environment] python: {clause!r} is no version: write it like 3.11 or >=3.10,<3.13")
    operator, named = found[1] or "==", tuple(int(part) for part in found[2].split("."))
    head = version[: len(named)]
    if operator == "~=":
        return head >= named and version[: len(named) - 1] == named[:-1]
    results = {
        "==": head == named,
        "!=": head != named,
        ">=": version >= named,
        "<=": head <= named,
        ">": head > named,
        "<": version < named,
    }
    return results[operator]


def _preference(interpreter: Interpreter) -> tuple[bool, tuple[int, int], bool, tuple[int, int, int]]:
    own = interpreter.version[:2] == sys.version_info[:2]
    minor = (interpreter.version[0], interpreter.version[1])
    return own, minor, interpreter.shared, interpreter.version if not own else (0, 0, 0)


def _order(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _candidates(extra: tuple[str, ...]) -> list[Path]:
    minors = [f"3.{minor}" for minor in range(SUPPORTED[0][1], SUPPORTED[1][1] + 1)]
    paths = [Path(text) for text in extra]
    paths.append(Path(getattr(sys, "_base_executable", "") or sys.executable))
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += [Path("/usr/local/bin"), Path("/usr/bin")]
    paths += [folder / f"python{minor}" for folder in folders for minor in minors]
    for root in _managed():
        paths += [Path(found) for minor in minors for found in sorted(glob.glob(f"{root}/*/bin/python{minor}"))]
    # `os.path` and `glob` take what may not be looked into for what is not there; Path's own functions raise.
    resolved = (path.resolve() for path in paths if os.path.isfile(path) and os.access(path, os.X_OK))
    # Links of another tool's launchers (pyenv's shims) are scripts: they start something else.
    return list(dict.fromkeys(path for path in resolved if "shims" not in path.parts))


def _managed() -> list[str]:
    """Folders in which pyenv and uv keep interpreters."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    uv = os.environ.get("UV_PYTHON_INSTALL_DIR") or f"{data}/uv/python"
    return [f"{glob.escape(pyenv)}/versions", glob.escape(uv)]


async def _ask(path: Path) -> Interpreter | None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = await asyncio.create_subprocess_exec(
        str(path),
        *("-I", "-S", "-c", _PROGRAM),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            output, _ = await process.communicate()
        answer = msgspec.json.decode(output)
        found = msgspec.convert({**answer, "path": str(path), "shared": is_shared(path)}, Interpreter)
    except (TimeoutError, msgspec.MsgspecError, TypeError):
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    supported = SUPPORTED[0] <= found.version[:2] <= SUPPORTED[1]
    return found if supported and found.final and not found.free_threaded else None


def is_shared(path: Path) -> bool:
    """Whether every user of the machine may run it: each folder above can be entered, the file read and run."""
    try:
        folders = all(parent.stat().st_mode & 0o001 for parent in path.parents)
        return folders and path.stat().st_mode & 0o005 == 0o005
    except OSError:
        return False
