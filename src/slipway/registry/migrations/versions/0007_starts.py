"""How a version's replicas start, as its build has found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from slipway.registry.columns import Json
from slipway.types import Start

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of versions that are there nothing is known."""
    op.add_column("versions", sa.Column("start", Json(Start), nullable=False, server_default=sa.text("'{}'")))
