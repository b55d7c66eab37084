"""Moves the store of a platform that is down to another database."""

from __future__ import annotations

import tempfile
from pathlib import Path

from slipway.errors import InputError
from slipway.operations.exclusive import alone, note
from slipway.registry.copying import Contents
from slipway.registry.engine import parse_url
from slipway.registry.online import copy_store, is_empty
from slipway.settings import Settings


async def move_store(settings: Settings, target_url: str) -> Contents:
    """Put all rows into the store at `target_url` in one transaction, compared; the old store stays as it is.

    Raises InputError where the target is the same or holds something, StartupError, SlipwayError.
    """
    if parse_url(settings.store) == parse_url(target_url):
        raise InputError("that is the store that the settings name already")
    with alone(settings):
        with tempfile.TemporaryDirectory() as scratch:
            if not await is_empty(target_url, Path(scratch)):
                raise InputError("the target is not empty: name a database of its own, without tables")
        moved = await copy_store(settings.store, target_url)
        where = parse_url(target_url).render_as_string(hide_password=True)
        await note(settings, "store.migrate", where, rows=str(sum(table.rows for table in moved.values())))
    return moved
