"""A clone of an algorithm's repository, for deploying: git, with the key kept out of its command line and config."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from slipway.client import ClientError, Login

Line = Callable[[str], None]


class Repository:
    """A working copy in `directory`. Raises ClientError with git's own words."""

    def __init__(self, login: Login, user: str, owner: str, name: str, directory: Path) -> None:
        self._login, self._user, self._directory = login, user, directory
        self._url = f"{login.address}/git/{owner}/{name}.git"

    def clone(self) -> None:
        """Fetch what is there."""
        self._git("clone", "-q", self._url, str(self._directory))

    def commit(self, message: str) -> str:
        """Commit everything; the commit's hash. A commit without a change is a commit too: it asks for a new build."""
        self._git("-C", str(self._directory), "add", "-A")
        self._git("-C", str(self._directory), "commit", "-q", "--allow-empty", "-m", message)
        return self._git("-C", str(self._directory), "rev-parse", "HEAD").strip()

    def push(self, line: Line) -> None:
        """Push, which builds; `line` is given each line that the platform says meanwhile."""
        command = ["git", "-C", str(self._directory), "push", "-q", "origin", "HEAD"]
        process = subprocess.Popen(
            command, env=self._environment(), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert process.stderr is not None
        said = []
        for text in process.stderr:
            said.append(text)
            line(text.removeprefix("remote: ").rstrip())
        if process.wait():
            raise ClientError("".join(said).strip() or "git push failed")

    def _git(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                ["git", *arguments], env=self._environment(), capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise ClientError("git is not installed") from error
        if done.returncode:
            raise ClientError(f"git {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        credential = base64.b64encode(f"{self._user}:{self._login.key}".encode()).decode()
        options = {
            "http.extraHeader": f"Authorization: Basic {credential}",
            "user.name": self._user,
            "user.email": f"{self._user}@slipway.invalid",
            "credential.helper": "",
        }
        configured = {"GIT_CONFIG_COUNT": str(len(options)), "GIT_TERMINAL_PROMPT": "0"}
        for number, (name, value) in enumerate(options.items()):
            configured.update({f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value})
        return {**os.environ, **configured}
