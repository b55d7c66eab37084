"""`slipway keys`: list, create, revoke."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from slipway.cli.output import Json, print_json, print_table, say
from slipway.cli.session import connect
from slipway.client import Client

User = Annotated[str, typer.Option("--user", "-u", help="Whose; your own without it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="API keys: list, create, revoke.", no_args_is_help=True)
    group.command("list")(list_keys)
    group.command()(create)
    group.command()(revoke)
    app.add_typer(group, name="keys")


def list_keys(user: User = "", as_json: Json = False) -> None:
    """List keys: their beginnings, never the whole."""
    with connect() as client:
        found = client.keys(_user(client, user))
    if as_json:
        print_json(found)
        return
    rows = [
        (one.id, f"{one.prefix}…", one.label, _day(one.created_at), _day(one.revoked_at) if one.revoked_at else "no")
        for one in found
    ]
    print_table(("ID", "KEY", "LABEL", "CREATED (UTC)", "REVOKED"), rows)


def create(
    label: Annotated[str, typer.Argument(help="What it is for.")] = "", user: User = "", as_json: Json = False
) -> None:
    """Make a key and print it: it is shown this once."""
    with connect() as client:
        made = client.create_key(_user(client, user), label)
    if as_json:
        print_json(made)
        return
    say(made.key)


def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")], user: User = "", as_json: Json = False) -> None:
    """Have a key refused everywhere from now on."""
    with connect() as client:
        gone = client.revoke_key(_user(client, user), key_id)
    if as_json:
        print_json(gone)
        return
    say(f"Revoked {gone.prefix}… ({gone.id})")


def _user(client: Client, user: str) -> str:
    return user or client.whoami().username


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
