"""`slipway versions`, `slipway versions show`, `slipway publish`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from slipway.cli.output import Json, print_json, print_pairs, print_table, say
from slipway.cli.session import connect, named
from slipway.connection import ClientError
from slipway.resources import Execution
from slipway.types import StartMode

Algorithm = Annotated[str, typer.Argument(metavar="OWNER/NAME")]


_STARTS: dict[StartMode, str] = {
    "loaded": "forked with its model loaded",
    "environment": "forked from its environment's zygote, then loads",
    "fresh": "as a fresh process",
}


class Step(StrEnum):
    """Which part of the version number goes up."""

    major = "major"
    minor = "minor"
    patch = "patch"


class _ListByDefault(typer.core.TyperGroup):
    """`slipway versions OWNER/NAME` is `slipway versions list OWNER/NAME`; one's own algorithm that has a command's
    name must be written with its owner."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Click's own type, by version
        """Name the command where that was left out."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    help = "An algorithm's versions: `slipway versions OWNER/NAME` lists them."
    group = typer.Typer(cls=_ListByDefault, help=help, no_args_is_help=True)
    group.command("list")(list_versions)
    group.command()(show)
    app.add_typer(group, name="versions")
    app.command()(publish)


def list_versions(
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


def show(
    version: Annotated[
        str, typer.Argument(metavar="OWNER/NAME[/VERSION]", help="By number or commit; else the newest.")
    ],
    as_json: Json = False,
) -> None:
    """Show what a version runs in, how its replicas start and why so, and what they may take."""
    with connect() as client:
        algorithm, wanted = _split(version)
        algorithm = named(client, algorithm)
        wanted = wanted or client.algorithm(algorithm).version_info.git_hash
        if not wanted:
            raise ClientError(f"{algorithm} has no version yet: push a commit")
        found = client.execution(algorithm, wanted)
    if as_json:
        print_json(found)
        return
    print_pairs(_described(algorithm, found))


def _split(text: str) -> tuple[str, str]:
    """`owner/name/version`, the last of which may be missing."""
    owner, _, rest = text.partition("/")
    name, _, version = rest.partition("/")
    return (f"{owner}/{name}" if name else owner), version


def _described(algorithm: str, found: Execution) -> list[tuple[str, str]]:
    environment, resources, scaling, start = found.environment, found.resources, found.scaling, found.start
    shared = "trusted: one zygote for all owners" if environment.trusted else "not trusted: a zygote for each owner"
    measured = f"; loaded in {start.load_seconds:.2f} s, {_mebibytes(start.memory_bytes)}" if start.memory_bytes else ""
    batch = f"batches of {scaling.max_batch} at most"
    return [
        ("version", f"{algorithm}/{found.semantic_version or found.git_hash}"),
        ("commit", found.git_hash),
        ("built (UTC)", (found.created_at or "")[:19]),
        ("published (UTC)", (found.published_at or "-")[:19]),
        (
            "environment",
            f"{environment.digest[:12]}…, Python {environment.interpreter_version}, {environment.hardware}",
        ),
        ("", shared),
        ("starts", f"{_STARTS[start.mode]}{measured}"),
        ("because", start.reason),
        ("sample input", found.sample_input or "-"),
        ("resources", f"cpu {resources.cpu:g}, memory {_mebibytes(resources.memory_bytes)}, gpu {resources.gpu:g}"),
        (
            "replicas",
            f"{scaling.min_replicas} to {scaling.max_replicas}, idle ones end after {scaling.idle_seconds:g} s",
        ),
        ("calls", f"{scaling.concurrency} at a time, {batch}, {scaling.queue_limit} may wait"),
        ("time limits", f"{scaling.timeout_seconds:g} s a call, {scaling.load_seconds:g} s to load"),
    ]


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


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
