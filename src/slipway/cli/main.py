"""`slipway`: the commands, and what happens to errors that they do not handle."""

from __future__ import annotations

import sys

import typer

from slipway.cli.local import up

application = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
application.command()(up.up)
application.command()(up.down)


def main() -> None:
    """Run the command that the command line names."""
    try:
        application()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
