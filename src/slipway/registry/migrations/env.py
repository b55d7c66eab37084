"""How Alembic runs a migration: on the connection and in the transaction that `registry.migrate` hands over."""

from __future__ import annotations

from alembic import context

from slipway.registry.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
