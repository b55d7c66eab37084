"""The `slipway` command."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from slipway import __version__
from slipway.cli import (
    accounts,
    algorithms,
    audit,
    builds,
    calling,
    data,
    deploying,
    keys,
    login,
    logs,
    policies,
    session,
    versions,
)
from slipway.cli.local import doctor, init, operating, platform, serving
from slipway.cli.output import fail
from slipway.connection import AlgorithmFailed
from slipway.errors import SlipwayError, StartupError

_INTERRUPTED = 130
# What a wrong command line raises: Typer carries its own Click or uses the installed one, by version.
_UsageProblem: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="slipway",
    help="Take a model from the notebook to a governed production endpoint.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (platform, doctor, operating, login, init, deploying, calling, algorithms, versions, builds):
    _module.register(app)
for _module in (serving, data, logs, keys, accounts, policies, audit):
    _module.register(app)


@app.callback()
def options(
    api: Annotated[str | None, typer.Option(help="Address of the platform [env: SLIPWAY_API].")] = None,
    key: Annotated[str | None, typer.Option(help="API key [env: SLIPWAY_API_KEY].")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Take a model from the notebook to a governed production endpoint."""
    if version:
        typer.echo(f"slipway {__version__}")
        raise typer.Exit
    session.configure(api, key)


def main() -> None:
    """Run the command that the command line names; an error is one line on standard error, and an exit code."""
    sys.exit(_run())


def _run() -> int:
    try:
        status = app(standalone_mode=False)
    except _UsageProblem as error:
        return _explain(error)
    except (typer.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except StartupError as error:
        fail(str(error))
        return 2
    except AlgorithmFailed as error:
        fail(f"{error.kind}: {error}")
        if error.stack_trace:
            sys.stderr.write(error.stack_trace.rstrip() + "\n")
        return 1
    except SlipwayError as error:
        fail(str(error))
        return 1
    except BrokenPipeError:
        # Whoever read the output has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        fail(str(error))
        return 1
    return status if isinstance(status, int) else 0


def _explain(error: Any) -> int:  # noqa: ANN401 - Click's, see above
    """One line about a wrong command line; the help where nothing was asked for at all."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return 2
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "slipway"
    fail(f"{error.format_message()} (`{command} --help` tells more)")
    return 2


if __name__ == "__main__":
    main()
