"""`slipway accounts`: list, create."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.output import Json, print_json, print_table, say
from slipway.cli.session import connect


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Accounts, for administrators: list, create.", no_args_is_help=True)
    group.command("list")(list_accounts)
    group.command()(create)
    app.add_typer(group, name="accounts")


def list_accounts(as_json: Json = False) -> None:
    """List all accounts."""
    with connect() as client:
        found = client.accounts()
    if as_json:
        print_json(found)
        return
    rows = [(one.username, one.kind, "yes" if one.admin else "", one.email) for one in found]
    print_table(("NAME", "KIND", "ADMIN", "E-MAIL"), rows)


def create(
    name: str,
    email: Annotated[str, typer.Option(help="Where to reach them.")] = "",
    as_json: Json = False,
) -> None:
    """Make a user with a first key, and print the key: it is shown this once."""
    with connect() as client:
        account = client.create_account(name, email)
        key = client.create_key(name, "first key")
    if as_json:
        print_json({"account": account, "key": key})
        return
    say(key.key)
