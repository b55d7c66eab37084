"""`slipway policy show|set|drop|test` and `slipway why`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from slipway.cli.output import Json, print_json, print_table, say
from slipway.cli.session import connect
from slipway.connection import ClientError
from slipway.resources import Answer

Organization = Annotated[str, typer.Argument(help="The organization.")]
File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="An organization's own policies, in Cedar: show, set, drop, test.", no_args_is_help=True)
    group.command()(show)
    group.command("set")(put)
    group.command()(drop)
    group.command("test")(try_cases)
    app.add_typer(group, name="policy")
    app.command()(why)


def show(organization: Organization) -> None:
    """Print them."""
    with connect() as client:
        text = client.policies(organization)
    typer.echo(text, nl=not text.endswith("\n"))


def put(organization: Organization, file: File) -> None:
    """Have those of a file in force, in place of the earlier ones."""
    with connect() as client:
        client.put_policies(organization, file.read_text(encoding="utf-8"))
    say(f"the policies of {organization} are those of {file} now")


def drop(organization: Organization) -> None:
    """Have none in force but the platform's."""
    with connect() as client:
        client.drop_policies(organization)
    say(f"{organization} has no policies of its own now")


def try_cases(
    organization: Organization,
    file: File,
    policies: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Try these; without it, those in force.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Try cases of a TOML file: each `[[case]]` has `account`, `action`, `resource`, `expect` (allow or deny)."""
    text = policies.read_text(encoding="utf-8") if policies else None
    with connect() as client:
        tried = client.try_policies(organization, _cases(file), text)
    if as_json:
        print_json(tried)
    else:
        rows = [
            ("ok" if one.passed else "WRONG", one.account, one.action, one.resource, one.expect, _by(one))
            for one in tried
        ]
        print_table(("", "ACCOUNT", "ACTION", "RESOURCE", "EXPECTED", "POLICIES SAY"), rows, "no cases")
    return 0 if all(one.passed for one in tried) else 1


def why(
    key: Annotated[str, typer.Argument(help="The key's id, as `slipway keys list` shows it.")],
    verb: Annotated[str, typer.Argument(help="Such as call, read, publish, manage, data_read.")],
    resource: Annotated[str, typer.Argument(help="algo://OWNER/NAME[/VERSION], data://OWNER or org://NAME")],
    as_json: Json = False,
) -> None:
    """Tell whether a key may do something, and which policies say so."""
    with connect() as client:
        answer = client.why(key, verb, resource)
    if as_json:
        print_json(answer)
    else:
        say(_by(answer))


def _by(answer: Answer) -> str:
    word = "allow" if answer.allowed else "deny"
    return f"{word}: {', '.join(answer.policies)}" if answer.policies else f"{word}: no policy permits it"


def _cases(file: Path) -> list[dict[str, Any]]:
    try:
        cases = tomllib.loads(file.read_text(encoding="utf-8")).get("case", [])
    except tomllib.TOMLDecodeError as error:
        raise ClientError(f"{file}: {error}") from error
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise ClientError(f"{file}: write each case under [[case]]")
    return cases
