"""`slipway builds`: an algorithm's builds, and one build's log."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.output import Json, print_json, print_table, say
from slipway.cli.progress import follow_build
from slipway.cli.session import connect, named
from slipway.connection import ClientError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(builds)


def builds(
    algorithm: Annotated[str, typer.Argument(metavar="OWNER/NAME")],
    build: Annotated[str, typer.Argument(help="A build's id, or `latest`: shows its log.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 20,
    as_json: Json = False,
) -> None:
    """List an algorithm's builds, newest first; or show one build's log, as it grows."""
    with connect() as client:
        algorithm = named(client, algorithm)
        if build:
            if build == "latest":
                newest = client.builds(algorithm, 1)
                if not newest:
                    raise ClientError(f"{algorithm} has no build yet: push a commit")
                build = newest[0].build_id
            done = follow_build(client, algorithm, build, quiet=as_json)
            if as_json:
                print_json(done)
            if done.status == "failed":
                raise ClientError(f"the build failed: {done.reason}")
            return
        found = client.builds(algorithm, limit)
    if as_json:
        print_json(found)
        return
    rows = [(one.build_id, one.status, one.commit_sha[:10], (one.started_at or "")[:19], one.reason) for one in found]
    print_table(("BUILD", "STATUS", "COMMIT", "STARTED (UTC)", "REASON"), rows, "no builds yet: push a commit")
    if found and found[0].status == "in-progress":
        say(f"`slipway builds {algorithm} latest` follows the newest")
