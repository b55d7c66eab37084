"""`slipway versions`, `slipway publish`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from slipway.cli.output import Json, print_json, print_table, say
from slipway.cli.session import connect, named

Algorithm = Annotated[str, typer.Argument(metavar="OWNER/NAME")]


class Step(StrEnum):
    """Which part of the version number goes up."""

    major = "major"
    minor = "minor"
    patch = "patch"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(versions)
    app.command()(publish)


def versions(
    algorithm: Algorithm,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 20,
    published: Annotated[bool, typer.Option("--published", help="Published ones only.")] = False,
    as_json: Json = False,
) -> None:
    """List an algorithm's versions, newest first."""
    with connect() as client:
        found = client.versions(named(client, algorithm), limit, True if published else None)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one.version_info.semantic_version or "-",
            one.version_info.git_hash,
            one.callability if one.version_info.semantic_version else "-",
            (one.version_info.created_at or "")[:19],
            (one.version_info.release_notes.splitlines() or [""])[0],
        )
        for one in found
    ]
    print_table(("VERSION", "COMMIT", "CALLABLE", "BUILT (UTC)", "NOTES"), rows, "no versions yet: push a commit")


def publish(
    algorithm: Algorithm,
    commit: Annotated[str, typer.Option(help="Full commit hash; the newest build without it.")] = "",
    step: Annotated[Step, typer.Option("--version-type", help="Which part of the number goes up.")] = Step.minor,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Who may call it.")] = None,
    notes: Annotated[str, typer.Option(help="Release notes.")] = "",
    as_json: Json = False,
) -> None:
    """Give a built commit its version number, and make it live."""
    callability = None if public is None else ("public" if public else "private")
    with connect() as client:
        found = client.publish(named(client, algorithm), commit, step.value, callability, notes)  # type: ignore[arg-type]
    if as_json:
        print_json(found)
        return
    say(f"Published {found.path}/{found.version_info.semantic_version} ({found.callability})")
