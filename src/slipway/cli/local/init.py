"""`slipway init`: the platform's template as an inference repository, made without a platform."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.output import Json, print_json, say
from slipway.connection import ClientError
from slipway.deployment.sources import algorithm_name
from slipway.registry.names import check_account_name, check_algorithm_name
from slipway.release import template

_BRANCH = "main"
_MESSAGE = "Begin from the platform's template"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIRECTORY]", file_okay=False, help="Made if need be; default: this one.")
    ] = Path(),
    name: Annotated[
        str,
        typer.Option("--name", "-a", metavar="[OWNER/]NAME", help="Its name; default: the directory's."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Write the template of an algorithm as a git repository: it builds as it is and answers `hello INPUT`."""
    owner, _, name = (name or algorithm_name(directory.resolve().name)).rpartition("/")
    check_algorithm_name(name)
    files = template.files(check_account_name(owner) if owner else "", name)
    _refuse_to_overwrite(directory, files)
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text, encoding="utf-8")
    made = _make_repository(directory, list(files))
    if as_json:
        print_json({"directory": str(directory.resolve()), "name": name, "files": sorted(files), "git": made})
        return
    say(f"Made {name} in {directory.resolve()}{'' if made else ', inside the git repository that is there'}")
    place = shlex.quote(str(directory))
    say(f"`slipway serve --local {place}` tries it, `slipway deploy {place}` brings it to a platform")


def _refuse_to_overwrite(directory: Path, files: dict[str, str]) -> None:
    there = [path for path in files if os.path.lexists(directory / path)]
    if there:
        raise ClientError(f"{directory.resolve()} has {', '.join(there)} already: choose another directory")


def _make_repository(directory: Path, files: list[str]) -> bool:
    """Put the files into a git repository of their own, unless they lie in one; returns whether it was made."""
    if _git(directory, "rev-parse", "--is-inside-work-tree", check=False):
        return False
    _git(directory, "init", "--quiet", f"--initial-branch={_BRANCH}")
    _git(directory, "add", "--", *files)
    # Whoever has no name in git yet can still begin; their own commits will ask for it.
    known = _git(directory, "config", "user.email", check=False)
    identity = () if known else ("-c", "user.name=Slipway", "-c", "user.email=slipway@localhost")
    own = ("-c", "commit.gpgsign=false", "-c", f"core.hooksPath={os.devnull}")
    _git(directory, *identity, *own, "commit", "--quiet", "--message", _MESSAGE)
    return True


def _git(directory: Path, *arguments: str, check: bool = True) -> str:
    """What git prints; empty where it fails and that is no error."""
    # A hook that runs this must not have its own repository taken for the new one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError as error:
        raise ClientError("git is not installed: it keeps the history of an inference repository") from error
    if done.returncode and check:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise ClientError(f"git failed in {directory}: {reason}")
    return done.stdout.strip() if not done.returncode else ""
