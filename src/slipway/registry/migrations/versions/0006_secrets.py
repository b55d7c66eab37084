"""Algorithms' secrets, sealed, and reservations of replicas."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from slipway.registry.columns import Seconds, WholeNumber

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "secrets",
        *_texts("id", "algorithm_id", "short_name", "description", "secret_key"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Seconds, nullable=False),
        sa.Column("updated_at", Seconds, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("algorithm_id", "secret_key"),
        sa.ForeignKeyConstraint(["algorithm_id"], ["algorithms.id"], ondelete="CASCADE"),
        sqlite_strict=True,
    )
    op.create_table(
        "reservations",
        *_texts("id", "algorithm_id", "calling_user", "version_type", "version_identifier"),
        sa.Column("num_slots", WholeNumber, nullable=False),
        sa.Column("created_at", Seconds, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["algorithm_id"], ["algorithms.id"], ondelete="CASCADE"),
        sqlite_strict=True,
    )
    op.create_index("ix_reservations_algorithm_id", "reservations", ["algorithm_id"])


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]
