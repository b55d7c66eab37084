"""`slipway backup`, `restore`, `migrate-store`, `gc`, `systemd-unit`: living with the platform on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.local.platform import Data, require_server
from slipway.cli.output import Json, fail, print_json, print_table, say
from slipway.premises import lock, make_directories
from slipway.settings import Settings, load_settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)
    app.command()(migrate_store)
    app.command()(gc)
    app.command()(systemd_unit)


def backup(
    target: Annotated[Path, typer.Argument(help="The archive to write; it must not exist.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Write a consistent copy of everything to one archive, with the platform up or down."""
    require_server()
    from slipway.operations.backup import back_up

    made = asyncio.run(back_up(_settings(data), target))
    if as_json:
        print_json(made)
    else:
        say(f"{made.path}: {made.files} files, {made.size / 2**20:.1f} MiB, in {made.seconds:.1f} s")


def restore(
    source: Annotated[Path, typer.Argument(help="An archive that `slipway backup` wrote.", exists=True)],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make an empty data directory from a backup, checked before anything is in place."""
    require_server()
    from slipway.operations.restore import restore as bring_back

    restored = asyncio.run(bring_back(source, _settings(data)))
    if as_json:
        print_json(restored)
        return
    say(f"restored {restored.files} files to {restored.root}: `slipway up --data {restored.root}` starts it")
    for warning in restored.warnings:
        fail(warning)


def migrate_store(
    target: Annotated[str, typer.Argument(help="Address of an empty database: postgresql://… or sqlite:///FILE.")],
    data: Data = None,
) -> None:
    """Copy the store to another database, with the platform down."""
    require_server()
    from slipway.operations.moving import move_store

    settings = _settings(data)
    with _platform_down(settings):
        moved = asyncio.run(move_store(settings, target))
    rows = sum(table.rows for table in moved.values())
    say(f"copied and compared {rows} rows of {len(moved)} tables; the old store stays as it is")
    say(f'now write into {settings.root / "server.toml"}: store_url = "{target}"')


def gc(
    data: Data = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would go; remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what nobody needs any more, by the settings' policy, with the platform up or down."""
    require_server()
    from slipway.operations.clearing import clear

    cleared = asyncio.run(clear(_settings(data), dry_run=dry_run))
    if as_json:
        print_json(cleared)
        return
    rows = [(one.kind, one.name, f"{one.size / 2**20:.1f} MiB") for one in cleared.items]
    print_table(("WHAT", "NAME", "SIZE"), rows, "there is nothing to remove")
    say(f"{cleared.size / 2**20:.1f} MiB {'would be' if dry_run else 'were'} freed")


def systemd_unit(
    data: Data = None,
    user: Annotated[bool, typer.Option("--user", help="For your own systemd, not the machine's.")] = False,
) -> None:
    """Print a systemd unit that runs the platform on this data directory."""
    require_server()
    from slipway.operations.unit import unit

    sys.stdout.write(unit(_settings(data), user=user))


def _settings(data: Path | None) -> Settings:
    return load_settings({"data": data and str(data)})


@contextlib.contextmanager
def _platform_down(settings: Settings) -> Iterator[None]:
    """Hold the data directory as a platform does. Raises DataDirectoryInUse while one runs."""
    make_directories(settings)
    descriptor = lock(settings)
    try:
        yield
    finally:
        os.close(descriptor)
