"""The one place that runs git: no prompt, and nobody's configuration but the platform's own."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.release import hooks

DEFAULT_BRANCH = "main"
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_CONFIGURATION = """\
[safe]
	directory = *
[core]
	hooksPath = "{hooks}"
[init]
	defaultBranch = {branch}
[http]
	receivepack = true
	getanyfile = false
[receive]
	autogc = false
[user]
	name = Slipway
	email = slipway@localhost
"""
# What git may take from the platform's own environment.
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH")


class Git:
    """Git with a home of its own below `directory`, and the post-receive hook that all repositories share."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._home = directory / ".home"

    def prepare(self) -> None:
        """Write the configuration and the hook anew: interpreter and package may have moved since the last start."""
        folder = self._home / "hooks"
        folder.mkdir(parents=True, exist_ok=True)
        os.chmod(self.directory, 0o700)
        script = Path(hooks.__file__).with_name("post_receive.py")
        command = f"exec {shlex.quote(sys.executable)} -I {shlex.quote(str(script))}"
        write_whole(folder / "post-receive", f"#!/bin/sh\n{command}\n", 0o755)
        quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
        write_whole(self._home / ".gitconfig", _CONFIGURATION.format(hooks=quoted, branch=DEFAULT_BRANCH), 0o644)

    def environment(self, **more: str) -> dict[str, str]:
        """The whole environment of a git process."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {
            **kept,
            "HOME": str(self._home),
            "GIT_CONFIG_GLOBAL": str(self._home / ".gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            **more,
        }

    async def run(self, *arguments: str, directory: Path | None = None, stdin: bytes | None = None) -> bytes:
        """What `git ARGUMENTS` prints; raises SlipwayError with its reason where it fails."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=directory,
            env=self.environment(),
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await process.communicate(stdin)
        except asyncio.CancelledError:
            await end(process)
            raise
        if process.returncode:
            raise SlipwayError(f"git {arguments[0]}: {_reason(errors) or f'exit status {process.returncode}'}")
        return output


def is_commit(text: str) -> bool:
    """Whether it is a full commit hash."""
    return _COMMIT.fullmatch(text) is not None


def _reason(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return next((line for line in lines if line.startswith("fatal: ")), lines[-1] if lines else "")


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a process that may have ended already, and reap it."""
    if process.returncode is None:
        process.kill()
    await process.wait()


def write_whole(path: Path, text: str, mode: int) -> None:
    """Replace a small file so that no reader sees half of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.replace(path)
