"""An algorithm's git repository, over real git. The key is never on a command line nor in a file."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from slipway.connection import ClientError

OnLine = Callable[[str], None]

_REMOTE = "remote: "
# A deployment must not depend on what the user has set up for other repositories.
_SETTINGS = {
    "commit.gpgsign": "false",
    "core.hooksPath": os.devnull,
    "core.autocrlf": "false",
    "http.postBuffer": str(64 * 2**20),
    "push.gpgSign": "false",
}


class Repository:
    """A clone of `owner/name` in a directory. Raises ClientError where git is missing or refuses."""

    def __init__(self, api: str, user: str, key: str, algorithm: str, directory: Path) -> None:
        self.directory = directory
        self._url = f"{api}/git/{algorithm}.git"
        self._environment = _environment(api, user, key)

    def clone(self) -> None:
        """Fetch the newest commit."""
        self._git("clone", "--quiet", "--depth", "1", self._url, str(self.directory))

    def write(self, files: Mapping[str, bytes], *, replace: bool = False) -> None:
        """Put files into the working tree; `replace`: nothing else stays."""
        if replace:
            self._git("rm", "-r", "--quiet", "--ignore-unmatch", ".", inside=True)
        for path, content in files.items():
            target = self.directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def commit(self, message: str) -> str:
        """Commit everything, even where nothing changed; returns the full hash."""
        # `--force`: what is deployed was chosen already, whatever an ignore file says.
        self._git("add", "--all", "--force", inside=True)
        self._git("commit", "--quiet", "--allow-empty", "--message", message, inside=True)
        return self._git("rev-parse", "HEAD", inside=True).strip()

    def push(self, on_line: OnLine) -> None:
        """Push, and with that build; `on_line` gets the build's log line by line."""
        command = ["git", "-C", str(self.directory), "push", "--quiet", "origin", "HEAD"]
        said = []
        with self._start(command) as process:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.rstrip()
                said.append(line)
                if line.startswith(_REMOTE):
                    on_line(line.removeprefix(_REMOTE))
        if process.returncode:
            raise ClientError(_reason("push", "\n".join(said)))

    def _git(self, *arguments: str, inside: bool = False) -> str:
        place = ["-C", str(self.directory)] if inside else []
        process = self._start(["git", *place, *arguments])
        output, _ = process.communicate()
        if process.returncode:
            raise ClientError(_reason(arguments[0], output))
        return output

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except FileNotFoundError as error:
            raise ClientError("git is not installed: it carries the source to the platform") from error


def _environment(api: str, user: str, key: str) -> dict[str, str]:
    """The environment of git: its settings, and the key as a header for this platform's repositories only."""
    credential = base64.b64encode(f"{user}:{key}".encode()).decode()
    settings = {
        **_SETTINGS,
        f"http.{api}/git/.extraHeader": f"Authorization: Basic {credential}",
        "user.name": user,
        "user.email": f"{user}@users.noreply.slipway",
        "init.defaultBranch": "main",
    }
    numbered: dict[str, str] = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        numbered |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    # A deployment started by some git hook must not take that repository for its own.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, **numbered, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C"}


def _reason(verb: str, output: str) -> str:
    lines = [line for line in output.strip().splitlines() if line]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", f"{_REMOTE}fatal", " ! "))]
    return f"git {verb} failed: {(telling or lines or ['it says nothing'])[0]}"
