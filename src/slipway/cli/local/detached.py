"""`slipway up --detach`: the platform as a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence

from slipway.cli.output import say
from slipway.errors import DataDirectoryUnusable, StartupError
from slipway.settings import Settings

_PAUSE_SECONDS = 0.05
_READY = re.compile(r"^listening on .*\n", re.MULTILINE)


def start(settings: Settings, arguments: Sequence[str]) -> None:
    """Start the same command without `--detach`, and return when it listens. Raises StartupError with its words."""
    log = settings.logs_directory / "supervisor.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise DataDirectoryUnusable(
            f"the data directory {settings.root} cannot be written: {error.strerror}"
        ) from error
    command = [sys.executable, "-m", "slipway.cli.main", *(word for word in arguments[1:] if word != "--detach")]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )
    os.close(output)
    while not _READY.search(said := log.read_text(errors="replace")):
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines() or ["it ended without a word"]
            raise StartupError(lines[-1].removeprefix("slipway: "))
        time.sleep(_PAUSE_SECONDS)
    say(said.strip())
    # It goes on without this process, which therefore must not warn that it leaves it behind.
    process.returncode = 0
