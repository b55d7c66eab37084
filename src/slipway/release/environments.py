"""Environments: locked dependencies on one interpreter, addressed by digest, shared by all versions that need them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from slipway.errors import BuildFailed
from slipway.ids import new_id
from slipway.release import diagnosis, uv
from slipway.release.git import write_whole
from slipway.release.hosts import Hosts, Output
from slipway.release.interpreters import Interpreter
from slipway.release.requirements import Requirements
from slipway.release.trees import make_read_only, remove_tree
from slipway.settings import Settings
from slipway.types import Environment

Hardware = Literal["cpu", "cuda"]
_LOCK_POLL_SECONDS = 0.05
_LAYOUT = "1"  # raised when environments are made in another way, so that old ones are not taken for new


class Lock(msgspec.Struct, frozen=True):
    """Resolved requirements."""

    text: str
    reused: bool


class Environments:
    """Makes environments below settings.environments_directory; what is there already costs no process at all."""

    def __init__(self, settings: Settings, hosts: Hosts) -> None:
        self._settings, self._hosts = settings, hosts
        self._root = settings.environments_directory
        self._locks, self._building = self._root / "locks", self._root / "building"

    async def lock(
        self, requirements: Requirements, interpreter: Interpreter, hardware: Hardware, output: Output
    ) -> Lock:
        """Pin the requirements; those that were pinned before, alike in all that matters, are taken from there.

        Raises BuildFailed with what uv says of the conflict.
        """
        if requirements.empty:
            return Lock("", reused=True)
        known = self._locks / f"{self._lock_key(requirements, interpreter, hardware)}.txt"
        if known.is_file():
            return Lock(known.read_text(), reused=True)
        text = await self._resolve(requirements, interpreter, output)
        self._locks.mkdir(parents=True, exist_ok=True)
        write_whole(known, text, 0o644)
        return Lock(text, reused=False)

    async def ensure(
        self, lock: str, options: Sequence[str], interpreter: Interpreter, hardware: Hardware, output: Output
    ) -> tuple[Environment, bool]:
        """The environment of that lock, and whether it had to be made. Who needs the same one waits for the first.

        `options` say where packages come from, as the requirements did. Raises BuildFailed.
        """
        digest = digest_of(lock, interpreter, hardware)
        environment = Environment(
            digest=digest,
            interpreter=str(uv.python_of(self._root / digest)),
            interpreter_version=interpreter.version_text,
            lock=lock,
            hardware=hardware,
            created_at=time.time(),
        )
        if self._is_there(digest):
            return environment, False
        async with self._alone(digest):
            if self._is_there(digest):
                return environment, False
            await self._make(digest, lock, options, interpreter, output)
        return environment, True

    def _is_there(self, digest: str) -> bool:
        return uv.python_of(self._root / digest).exists()

    def _lock_key(self, requirements: Requirements, interpreter: Interpreter, hardware: Hardware) -> str:
        parts = [requirements.digest, *_identity(interpreter), hardware, *sorted(uv.index(self._settings).items())]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    async def _resolve(self, requirements: Requirements, interpreter: Interpreter, output: Output) -> str:
        assert requirements.file is not None
        with self._scratch("lock") as scratch:
            lock = scratch / "lock.txt"
            command = uv.compile_command(requirements.file, lock, interpreter.path)
            await self._run(command, scratch, output, "the requirements cannot be met")
            text = lock.read_text()
        if "file:" in text or "\n-e " in f"\n{text}":
            raise BuildFailed("the requirements lead to a file of this machine: put the package on an index")
        return text

    async def _make(
        self, digest: str, lock: str, options: Sequence[str], interpreter: Interpreter, output: Output
    ) -> None:
        with self._scratch(digest) as scratch:
            new = scratch / digest
            await self._run(uv.create_command(new, interpreter.path), scratch, output, "no environment could be made")
            if lock:
                listed = scratch / "lock.txt"
                listed.write_text("".join(f"{option}\n" for option in options) + lock)
                await self._run(uv.install_command(new, listed), scratch, output, "a package cannot be installed")
                await self._compile(new, scratch, output)
            await asyncio.to_thread(_seal, new)
            broken = self._root / digest
            await asyncio.to_thread(remove_tree, broken)  # its interpreter is gone: see _is_there
            new.rename(broken)
            broken.chmod(0o555)

    async def _compile(self, new: Path, scratch: Path, output: Output) -> None:
        started = time.monotonic()
        await self._run(uv.bytecode_command(uv.python_of(new), [new / "lib"]), scratch, output, "")
        output(f"byte-compiled in {time.monotonic() - started:.1f} s")

    async def _run(self, command: list[str], scratch: Path, output: Output, failure: str) -> None:
        """Run one command there; with `failure`, an exit status other than 0 raises BuildFailed."""
        lines: list[str] = []

        def heard(line: str) -> None:
            lines.append(line)
            del lines[:-200]
            if not line.startswith("Using Python "):  # it names a directory that is about to be renamed
                output(line)

        limit = self._settings.build_timeout_seconds
        ran = await self._hosts.run(
            command, scratch, uv.environment(self._settings), timeout_seconds=limit, output=heard
        )
        if ran.timed_out:
            raise BuildFailed(f"{Path(command[0]).name} took longer than {limit:g} s")
        if ran.exit_status and failure:
            raise BuildFailed(diagnosis.explain_uv(lines, failure, offline=self._settings.offline))

    @contextlib.contextmanager
    def _scratch(self, name: str) -> Iterator[Path]:
        """A fresh directory beside the environments; `name`'s earlier ones, left by a crash, are removed."""
        self._building.mkdir(parents=True, exist_ok=True)
        scratch = self._building / f"{name}-{new_id()}"
        scratch.mkdir()
        try:
            yield scratch
        finally:
            remove_tree(scratch)

    @contextlib.asynccontextmanager
    async def _alone(self, digest: str) -> AsyncIterator[None]:
        """Hold the digest's lock, which the kernel releases if this process dies."""
        self._building.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._building / f"{digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _try_lock(descriptor):
                await asyncio.sleep(_LOCK_POLL_SECONDS)
            for left in self._building.glob(f"{digest}-*"):
                await asyncio.to_thread(remove_tree, left)
            yield
        finally:
            os.close(descriptor)


def digest_of(lock: str, interpreter: Interpreter, hardware: Hardware) -> str:
    """SHA-256 over lock, interpreter build, platform and hardware, in hex."""
    parts = [_LAYOUT, lock, *_identity(interpreter), hardware]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _identity(interpreter: Interpreter) -> tuple[str, ...]:
    return interpreter.version_text, interpreter.build, interpreter.platform


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _seal(directory: Path) -> None:
    """Read-only for all, and on disk before anyone relies on it."""
    make_read_only(directory)
    # One call for thousands of files; a machine that loses power must not find a torn environment under its digest.
    os.sync()
    # Some systems refuse to move a directory that may not be written.
    directory.chmod(0o755)
