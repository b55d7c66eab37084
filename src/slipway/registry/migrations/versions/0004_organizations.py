"""Organizations with members, keys with permissions, accounts that were deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from slipway.registry.columns import Json, Seconds

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("accounts", sa.Column("profile", Json(), nullable=True))
    op.add_column("accounts", sa.Column("deleted_at", Seconds, nullable=True))
    op.add_column("keys", sa.Column("permissions", Json(), nullable=True))
    op.create_table(
        "members",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", Seconds, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "account_id"),
        sa.ForeignKeyConstraint(["organization_id"], ["accounts.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], ondelete="CASCADE"),
        sqlite_strict=True,
    )
    op.create_index("ix_members_account_id", "members", ["account_id"])
