"""Who may read directories of hosted data."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from slipway.registry.columns import Json

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "directories",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("read_acl", Json(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
        sqlite_strict=True,
    )
