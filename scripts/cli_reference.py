"""Writes docs/reference/cli.md from the commands themselves; a test sees that it was run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from slipway.cli.main import app

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"

HEAD = """\
# The command line

Made by `scripts/cli_reference.py` from the commands' own help.

Options before the command hold for all: `slipway --api https://slipway.example.com --key KEY call ann/hello '"x"'`.
`--json` prints what a program can read. An error is one line on standard error; the exit code is 1 for an error, 2 for
a wrong command line or a platform that cannot start, 130 after Ctrl-C. `OWNER/` may be left out for one's own
algorithms, but for calls.
"""


def reference() -> str:
    """The whole page."""
    command = typer.main.get_command(app)
    return "\n".join([HEAD, *_sections("slipway", command)]) + "\n"


def _sections(path: str, command: Any) -> Iterator[str]:  # noqa: ANN401 - Click's own type, by Typer's version
    yield f"## `{path}`\n"
    yield f"{command.help or ''}\n"
    rows = [_row(parameter) for parameter in command.params if parameter.name not in ("help", *_COMPLETION)]
    if rows:
        yield "| argument | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"
    for name, below in getattr(command, "commands", {}).items():
        yield from _sections(f"{path} {name}", below)


_COMPLETION = ("install_completion", "show_completion")


def _row(parameter: Any) -> str:  # noqa: ANN401
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
    else:
        name = ", ".join([*parameter.opts, *parameter.secondary_opts])
    meaning = (getattr(parameter, "help", "") or "").replace("|", "\\|")
    return f"| `{name.replace('|', chr(92) + '|')}` | {meaning} |"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    sys.exit(0)
