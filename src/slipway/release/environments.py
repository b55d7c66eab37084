"""Environments: locked dependencies on one interpreter, addressed by digest, shared by all versions that need them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn

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
from slipway.wire.messages import Ran
from slipway.workers.sandbox.launching import change_owner

Hardware = Literal["cpu", "cuda"]
_LOCK_POLL_SECONDS = 0.05
_NO_WHEEL = "building from source is disabled"  # in what uv says
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
        self, owner: str, requirements: Requirements, interpreter: Interpreter, hardware: Hardware, output: Output
    ) -> Lock:
        """Pin the requirements; those that were pinned before, alike in all that matters, are taken from there.

        What must be built from its source for that is built in the sandbox of `owner`. Raises BuildFailed with what uv
        says of the conflict.
        """
        if requirements.empty:
            return Lock("", reused=True)
        known = self._locks / f"{self._lock_key(requirements, interpreter, hardware)}.txt"
        if known.is_file():
            return Lock(known.read_text(), reused=True)
        text = await self._resolve(owner, requirements, interpreter, output)
        self._locks.mkdir(parents=True, exist_ok=True)
        write_whole(known, text, 0o644)
        return Lock(text, reused=False)

    async def ensure(
        self,
        owner: str,
        lock: str,
        options: Sequence[str],
        interpreter: Interpreter,
        hardware: Hardware,
        output: Output,
    ) -> tuple[Environment, bool]:
        """The environment of that lock, and whether it had to be made. Who needs the same one waits for the first.

        Packages that have no wheel are built in the sandbox of `owner`. `options` say where packages come from, as the
        requirements did. Raises BuildFailed.
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
            await self._make(owner, digest, lock, options, interpreter, output)
        return environment, True

    def _is_there(self, digest: str) -> bool:
        return uv.python_of(self._root / digest).exists()

    def _lock_key(self, requirements: Requirements, interpreter: Interpreter, hardware: Hardware) -> str:
        parts = [requirements.digest, *_identity(interpreter), hardware, *sorted(uv.index(self._settings).items())]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    async def _resolve(self, owner: str, requirements: Requirements, interpreter: Interpreter, output: Output) -> str:
        assert requirements.file is not None
        with self._scratch("lock") as scratch:
            lock = scratch / "lock.txt"
            listed = scratch / "requirements.txt"
            command = uv.compile_command(requirements.file, lock, interpreter.path)
            tools = _Tools(self._settings, self._hosts, scratch, output)
            if await tools.need_sources(command, "the requirements cannot be met"):
                await asyncio.to_thread(shutil.copyfile, requirements.file, listed)
                command = uv.compile_command(listed, lock, interpreter.path, sources=True)
                await tools.run_apart(owner, command, interpreter, "the requirements cannot be met")
                await asyncio.to_thread(_check_links, scratch, interpreter)
            text = lock.read_text()
        if "file:" in text or "\n-e " in f"\n{text}":
            raise BuildFailed("the requirements lead to a file of this machine: put the package on an index")
        return text

    async def _make(
        self,
        owner: str,
        digest: str,
        lock: str,
        options: Sequence[str],
        interpreter: Interpreter,
        output: Output,
    ) -> None:
        with self._scratch(digest) as scratch:
            new = scratch / digest
            tools = _Tools(self._settings, self._hosts, scratch, output)
            await tools.run(uv.create_command(new, interpreter.path), "no environment could be made")
            if lock:
                listed = scratch / "lock.txt"
                listed.write_text("".join(f"{option}\n" for option in options) + lock)
                apart = await tools.need_sources(uv.install_command(new, listed), "a package cannot be installed")
                if apart:
                    command = uv.install_command(new, listed, sources=True)
                    await tools.run_apart(owner, command, interpreter, "a package cannot be installed")
                started = time.monotonic()
                command = uv.bytecode_command(uv.python_of(new), [new / "lib"])
                # What was built there may have put anything in the place of the environment's interpreter.
                await (tools.run_apart(owner, command, interpreter, "") if apart else tools.run(command, ""))
                output(f"byte-compiled in {time.monotonic() - started:.1f} s")
                if apart:
                    await asyncio.to_thread(_check_links, new, interpreter)
            await asyncio.to_thread(_seal, new)
            broken = self._root / digest
            await asyncio.to_thread(remove_tree, broken)  # its interpreter is gone: see _is_there
            new.rename(broken)
            broken.chmod(0o555)

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


class _Tools:
    """Runs uv and compilers for one environment: as the platform itself where no package's code is run by that."""

    def __init__(self, settings: Settings, hosts: Hosts, scratch: Path, output: Output) -> None:
        self._settings, self._hosts, self._scratch, self._output = settings, hosts, scratch, output

    async def run(self, command: list[str], failure: str) -> None:
        """Run one command; with `failure`, an exit status other than 0 raises BuildFailed."""
        ran, lines = await self._run(command, uv.environment(self._settings))
        if ran.exit_status and failure:
            self._fail(lines, failure)

    async def need_sources(self, command: list[str], failure: str) -> bool:
        """Run it with wheels only; whether that does not do, for packages that have none. Raises BuildFailed."""
        ran, lines = await self._run(command, uv.environment(self._settings))
        if ran.exit_status and not any(_NO_WHEEL in line for line in lines):
            self._fail(lines, failure)
        if ran.exit_status:
            self._output("some packages have no wheel: they are built from their sources, in a sandbox")
        return ran.exit_status != 0

    async def run_apart(self, owner: str, command: list[str], interpreter: Interpreter, failure: str) -> None:
        """Run it in the owner's sandbox, where packages are built from their sources; `failure` as for `run`."""
        reads = uv.seen_apart(self._settings, interpreter.path)
        ran, lines = await self._run(command, uv.apart(self._settings, self._scratch), owner, reads)
        await asyncio.to_thread(change_owner, self._scratch, os.geteuid(), os.getegid())
        if ran.exit_status and failure:
            self._fail(lines, failure)

    async def _run(
        self, command: list[str], environment: Mapping[str, str], owner: str = "", reads: Sequence[str] = ()
    ) -> tuple[Ran, list[str]]:
        lines: list[str] = []

        def heard(line: str) -> None:
            lines.append(line)
            del lines[:-200]
            if not line.startswith("Using Python "):  # it names a directory that is about to be renamed
                self._output(line)

        limit = self._settings.build_timeout_seconds
        ran = await self._hosts.run(
            command,
            self._scratch,
            environment,
            timeout_seconds=limit,
            output=heard,
            owner=owner,
            reads=reads,
            writes=[str(self._scratch)] if owner else (),
        )
        if ran.timed_out:
            raise BuildFailed(f"{Path(command[0]).name} took longer than {limit:g} s")
        return ran, lines

    def _fail(self, lines: list[str], failure: str) -> NoReturn:
        raise BuildFailed(diagnosis.explain_uv(lines, failure, offline=self._settings.offline))


def digest_of(lock: str, interpreter: Interpreter, hardware: Hardware) -> str:
    """SHA-256 over lock, interpreter build, platform and hardware, in hex."""
    parts = [_LAYOUT, lock, *_identity(interpreter), hardware]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _identity(interpreter: Interpreter) -> tuple[str, ...]:
    return interpreter.version_text, interpreter.build, interpreter.platform


def _check_links(directory: Path, interpreter: Interpreter) -> None:
    """Raises BuildFailed where a link that was made in a sandbox leads out of the directory: the platform would follow
    it with rights that the sandbox did not have."""
    allowed = Path(interpreter.path).resolve()
    for folder, folders, files in os.walk(directory):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(directory) and path.resolve() != allowed:
                raise BuildFailed(f"a package has made a link that leads elsewhere: {path.relative_to(directory)}")


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
