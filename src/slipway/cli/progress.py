"""Progress of builds and uploads, shown where somebody is watching."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from slipway.cli.output import errors, say
from slipway.client import Client
from slipway.hosted_data import Progress as OnBytes
from slipway.resources import BuildInfo


@contextlib.contextmanager
def transfer_bar(file: Path) -> Iterator[OnBytes]:
    """A bar on standard error for one upload or download."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task(file.name, total=None)

        def moved(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield moved


@contextlib.contextmanager
def step_spinner(text: str) -> Iterator[Progress]:
    """A spinner with the time gone by, for a step whose length nobody knows."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.elapsed:.0f} s"))
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        progress.add_task(text, total=None)
        yield progress


def follow_build(client: Client, algorithm: str, build_id: str, quiet: bool) -> BuildInfo:
    """Print a build's log as it grows; the build, once it has ended."""
    with step_spinner("building") as progress:
        for line in client.build_log(algorithm, build_id):
            if not quiet:
                progress.console.print(line, markup=False) if errors.is_terminal else say(line)
    while (build := client.build(algorithm, build_id)).status == "in-progress":
        time.sleep(0.1)
    return build
