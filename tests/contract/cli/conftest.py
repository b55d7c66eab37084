"""One platform for all tests of the command line, and commands run as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from slipway.testing import Platform

ECHO = "def apply(input):\n    print('got', input)\n    return input\n"
SECONDS = 120


class Commands:
    """Runs `slipway` as a user of a platform."""

    def __init__(self, platform: Platform, user: str, home: Path) -> None:
        self.platform, self.user = platform, user
        self.key = platform.account(user)
        self.home = home

    def environment(self) -> dict[str, str]:
        """The user's environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "ALGORITHMIA_"))}
        own = {"SLIPWAY_API": self.platform.url, "SLIPWAY_API_KEY": self.key}
        return {**kept, **own, "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config")}

    def run(
        self, *words: str, status: int = 0, given: str | bytes = b"", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, which must be with this exit status."""
        command = [sys.executable, "-m", "slipway.cli.main", *words]
        content = given.encode() if isinstance(given, str) else given
        surroundings = {**self.environment(), **(environment or {})}
        done = subprocess.run(
            command, input=content, capture_output=True, env=surroundings, cwd=self.home, timeout=SECONDS, check=False
        )
        output, errors = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert done.returncode == status, f"{words}: {done.returncode}\n{output}\n{errors}"
        return subprocess.CompletedProcess(command, done.returncode, output, errors)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    # Streams wait for files of the tests: hence no sandboxes here.
    with Platform(tmp_path_factory.mktemp("cli") / "data", sandbox="none") as platform:
        yield platform


@pytest.fixture(scope="session")
def ann(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A user with the algorithm `ann/echo`, live."""
    home = tmp_path_factory.mktemp("ann")
    commands = Commands(platform, "ann", home)
    (home / "echo.py").write_text(ECHO)
    commands.run("deploy", "echo.py", "echo", "--input", '{"a": 1}')
    return commands
