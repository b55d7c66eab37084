"""`slipway data`: ls, cp, cat, rm, mkdir."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from slipway.cli.data_addresses import expanded, hosted, joined, parted
from slipway.cli.data_copying import Copier
from slipway.cli.output import Json, errors, fail, print_json, print_table
from slipway.cli.session import connect
from slipway.client import Client
from slipway.connection import ClientError
from slipway.resources import Entry

Addresses = Annotated[list[str], typer.Argument(metavar="data://…", help="`*` and `?` in the last part stand for any.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Hosted data: ls, cp, cat, rm, mkdir.", no_args_is_help=True)
    for command in (ls, cp, cat, rm, mkdir):
        group.command()(command)
    app.add_typer(group, name="data")


def ls(
    addresses: Annotated[
        list[str] | None, typer.Argument(metavar="[data://…]", help="What to list; your own without it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List directories of hosted data, or files."""
    with connect() as client:
        found = [pair for address in addresses or ["data://.my"] for pair in _listed(client, hosted(address))]
    if as_json:
        print_json([{"address": address, "entry": entry} for address, entry in found])
        return
    several = len(addresses or ()) > 1
    rows = [
        ("" if entry.directory else entry.size, entry.last_modified[:19], address if several else _shown(entry))
        for address, entry in found
    ]
    print_table(("SIZE", "MODIFIED (UTC)", "NAME"), rows, "nothing is there")


def cp(
    places: Annotated[
        list[str], typer.Argument(metavar="FROM… TO", help="data://… or a local path; `-`: stdin or stdout.")
    ],
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Directories with all that is in them.")] = False,
) -> None:
    """Copy files between here and hosted data, each whole or not at all. Exit code 1 if one could not be copied."""
    if len(places) < 2:
        raise typer.BadParameter("say from where and to where: slipway data cp FROM… TO")
    with connect() as client:
        copier = Copier(client, recursive)
        copier.copy(places[:-1], places[-1])
    for place, reason in copier.failed:
        fail(f"{place}: {reason}")
    if copier.failed:
        fail(f"{len(copier.failed)} not copied, {copier.copied} copied")
        raise typer.Exit(1)
    if errors.is_terminal:
        errors.print(f"{copier.copied} copied", markup=False)


def cat(addresses: Addresses) -> None:
    """Write files to standard output, one after the other."""
    with connect() as client:
        for address in expanded(client.data, addresses):
            for chunk in client.data.read(address):
                sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def rm(
    addresses: Addresses,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Directories with all that is in them.")] = False,
) -> None:
    """Remove files, or empty directories. Exit code 1 if one could not be removed."""
    failed = 0
    with connect() as client:
        for address in expanded(client.data, addresses):
            try:
                client.data.delete(address, force=recursive)
            except ClientError as error:
                if error.http_status in (0, 401):
                    raise
                failed += 1
                fail(f"{address}: {error}")
    if failed:
        raise typer.Exit(1)


def mkdir(
    addresses: Annotated[list[str], typer.Argument(metavar="data://…")],
    parents: Annotated[bool, typer.Option("-p", "--parents", help="With the directories above.")] = False,
) -> None:
    """Make directories; one that is there already is no error."""
    with connect() as client:
        for address in map(hosted, addresses):
            above = address.removeprefix("data://").split("/")
            for depth in range(2 if parents else len(above), len(above) + 1):
                client.data.make_directory("data://" + "/".join(above[:depth]))


def _listed(client: Client, address: str) -> list[tuple[str, Entry]]:
    """What an address stands for: the files of a directory, a file itself, or what fits a pattern."""
    parent, pattern = parted(address)
    if any(sign in pattern for sign in "*?["):
        wanted = set(expanded(client.data, [address]))
        return [(at, one) for one in client.data.list(parent) if (at := joined(parent, one.name)) in wanted]
    if client.data.kind(address) == "file":
        return [(joined(parent, one.name), one) for one in client.data.list(parent) if one.name == pattern]
    return [(joined(address, one.name), one) for one in client.data.list(address)]


def _shown(entry: Entry) -> str:
    return f"{entry.name}/" if entry.directory else entry.name
