"""Jobs in lanes, and attempts that do not count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from slipway.registry.columns import WholeNumber

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and the indexes that keep claiming fast."""
    op.add_column("jobs", sa.Column("lane", sa.Text(), nullable=False, server_default=sa.text("''")))
    for name in ("lane_limit", "excused"):
        op.add_column("jobs", sa.Column(name, WholeNumber, nullable=False, server_default=sa.text("0")))
    op.create_index("ix_jobs_state_kind_lane_created_at", "jobs", ["state", "kind", "lane", "created_at"])
    op.create_index("ix_jobs_state_deadline_at", "jobs", ["state", "deadline_at"])
