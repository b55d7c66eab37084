"""Asynchronous calls: what they were given and what came of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from slipway.registry.columns import Seconds

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("call", sa.LargeBinary(), nullable=False),
        sa.Column("input", sa.LargeBinary()),
        sa.Column("outcome", sa.LargeBinary()),
        sa.Column("result", sa.LargeBinary()),
        sa.Column("created_at", Seconds, nullable=False),
        sa.Column("finished_at", Seconds),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("ix_requests_state_created_at", "requests", ["state", "created_at"])
    op.create_index("ix_requests_finished_at", "requests", ["finished_at"])
