"""Makes a restored data directory right for the machine and the place where it is now."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import msgspec

from slipway.errors import DataDirectoryUnusable
from slipway.operations.archive import Header
from slipway.registry import environments
from slipway.registry.copying import relocate
from slipway.registry.online import copy_store, holds_the_same, is_empty
from slipway.registry.store import Store
from slipway.release.environments import digest_of
from slipway.release.interpreters import Interpreter, Interpreters
from slipway.settings import Settings, load_settings
from slipway.types import Environment


async def make_at_home(staging: Path, header: Header, settings: Settings) -> list[str]:
    """Bring the store to this program's schema, its paths to the new place; returns what an operator must still do.

    A store of its own (PostgreSQL) is filled from the copy. Raises StartupError.
    """
    store = await Store.open(f"sqlite:///{staging / 'store.db'}")
    try:
        async with store.begin() as connection:
            await relocate(connection, header.root, str(settings.root))
        async with store.read() as connection:
            known = await environments.list_all(connection)
    finally:
        await store.close()
    warnings = await _interpreters(staging, known, settings)
    # The settings file came with the backup.
    own = msgspec.structs.replace(load_settings({"data": str(staging)}), data=str(settings.root))
    url = settings.store_url or own.store_url
    if url:
        await _fill(staging / "store.db", url)
        if url != own.store_url:
            warnings.append(f"put store_url = {url!r} into {settings.root / 'server.toml'}")
    return warnings


async def _fill(copy: Path, url: str) -> None:
    """Put the copy into the store that the settings name, and remove it."""
    source = f"sqlite:///{copy}"
    with tempfile.TemporaryDirectory(dir=copy.parent) as scratch:
        empty = await is_empty(url, Path(scratch))
    if empty:
        await copy_store(source, url)
    elif not await holds_the_same(source, url):  # an earlier attempt was cut off after this step
        raise DataDirectoryUnusable("the store that store_url names is not empty: name another")
    for file in (copy, *copy.parent.glob("store.db-*")):
        file.unlink()


async def _interpreters(staging: Path, known: list[Environment], settings: Settings) -> list[str]:
    """Lead environments to the interpreter that they were made for, where this machine has it elsewhere."""
    lost = [one for one in known if _is_lost(staging / "environments" / one.digest)]
    found = await Interpreters(settings.interpreters).find() if lost else []
    warnings = []
    for environment in lost:
        same = next((one for one in found if _made_for(environment, one)), None)
        if same is None:
            where = os.readlink(_python(staging / "environments" / environment.digest))
            version, name = environment.interpreter_version, f"{environment.digest[:12]}…"
            warnings.append(f"the environment {name} needs the Python {version} of its making: install it at {where}")
        else:
            _lead_to(staging / "environments" / environment.digest, same)
    return warnings


def _is_lost(directory: Path) -> bool:
    return directory.is_dir() and not _python(directory).exists()


def _made_for(environment: Environment, interpreter: Interpreter) -> bool:
    return digest_of(environment.lock, interpreter, environment.hardware) == environment.digest


def _lead_to(directory: Path, interpreter: Interpreter) -> None:
    _python(directory).unlink()
    _python(directory).symlink_to(interpreter.path)
    configuration = directory / "pyvenv.cfg"
    home = str(Path(interpreter.path).parent)
    lines = [f"home = {home}" if line.startswith("home") else line for line in configuration.read_text().splitlines()]
    edited = configuration.with_suffix(".edited")
    edited.write_text("\n".join(lines) + "\n")
    shutil.copymode(configuration, edited)
    edited.replace(configuration)


def _python(directory: Path) -> Path:
    return directory / "bin" / "python"
