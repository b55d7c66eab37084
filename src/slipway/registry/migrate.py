"""Bringing a store to this program's schema, and refusing one that is ahead of it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from slipway.errors import NewerFormat

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 0x51_1B_3A_59  # any number; all of this platform's processes must use the same


def pending(connection: Connection) -> bool:
    """Whether the store must be migrated. Raises NewerFormat, having written nothing."""
    script = ScriptDirectory.from_config(_config(connection))
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {one.revision for one in script.walk_revisions()}:
        known = script.get_current_head()
        raise NewerFormat(
            f"the store is of a newer Slipway (schema {current}, this one knows {known}): upgrade this one;"
            " nothing was changed"
        )
    return current != script.get_current_head()


def migrate(connection: Connection) -> None:
    """Apply what is missing, in the transaction under way: all of it or nothing."""
    if connection.dialect.name == "postgresql":
        # Several controls may start at once; the second finds the work done.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if pending(connection):
        command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
