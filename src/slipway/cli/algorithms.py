"""`slipway algorithms`: list, show, create."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.output import Json, print_json, print_table, say
from slipway.cli.session import connect, named


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Algorithms: list, show, create.", invoke_without_command=True)
    group.callback()(list_own)
    group.command("list")(list_all)
    group.command()(show)
    group.command()(create)
    app.add_typer(group, name="algorithms")


def list_own(context: typer.Context, as_json: Json = False) -> None:
    """Algorithms: list, show, create."""
    if context.invoked_subcommand is None:
        list_all("", as_json)


def list_all(
    owner: Annotated[str, typer.Argument(help="Whose; all that your key may manage without it.")] = "",
    as_json: Json = False,
) -> None:
    """List algorithms as of their newest version."""
    with connect() as client:
        found = client.algorithms(owner)
    if as_json:
        print_json(found)
        return
    rows = [
        (one.path, one.version_info.semantic_version, one.version_info.git_hash[:10], one.details.get("label"))
        for one in found
    ]
    print_table(("ALGORITHM", "VERSION", "COMMIT", "LABEL"), rows, "no algorithms yet: `slipway deploy` makes one")


def show(algorithm: Annotated[str, typer.Argument(metavar="OWNER/NAME")], as_json: Json = False) -> None:
    """Show one algorithm."""
    with connect() as client:
        found = client.algorithm(named(client, algorithm))
        api = client.api
    if as_json:
        print_json(found)
        return
    version = found.version_info
    rows = [
        ("algorithm", found.path),
        ("version", version.semantic_version or "not published"),
        ("commit", version.git_hash or "nothing built yet"),
        ("callability", found.callability),
        ("call", f"{api}/v1/algo/{found.path}"),
        ("git", f"{api}/git/{found.path}.git"),
        ("sample input", version.sample_input),
    ]
    print_table(("", ""), rows)


def create(
    algorithm: Annotated[str, typer.Argument(metavar="OWNER/NAME")],
    label: Annotated[str, typer.Option(help="Its name for people.")] = "",
    tagline: Annotated[str, typer.Option(help="What it does, in one line.")] = "",
    as_json: Json = False,
) -> None:
    """Make an algorithm with a repository that holds a template."""
    with connect() as client:
        found = client.create_algorithm(named(client, algorithm), label, tagline)
        if as_json:
            print_json(found)
            return
        say(f"Made {found.path}: git clone {client.api}/git/{found.path}.git")
