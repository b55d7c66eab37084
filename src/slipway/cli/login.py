"""`slipway login`, `slipway whoami`."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.output import Json, print_json, say
from slipway.cli.session import connect, given
from slipway.client import Client
from slipway.credentials import DEFAULT_API, Credentials, find_credentials, keep_credentials


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(login)
    app.command()(whoami)


def login(
    address: Annotated[str | None, typer.Argument(help=f"Address of the platform, such as {DEFAULT_API}.")] = None,
    as_json: Json = False,
) -> None:
    """Check an address and a key, and keep them for later commands."""
    api, key = given()
    found = find_credentials(address or api, key)
    key = key or typer.prompt(f"API key for {found.api}", hide_input=True)
    credentials = Credentials(api=found.api, key=key)
    with Client(credentials.api, credentials.key) as client:
        account = client.whoami()
    file = keep_credentials(credentials)
    if as_json:
        print_json({"api": credentials.api, "account": account, "file": str(file)})
        return
    say(f"Logged in to {credentials.api} as {account.username}; kept in {file}")


def whoami(as_json: Json = False) -> None:
    """Show whose key is in use."""
    with connect() as client:
        account = client.whoami()
        if as_json:
            print_json({"api": client.api, "account": account})
            return
        say(f"{account.username}{' (administrator)' if account.admin else ''} on {client.api}")
