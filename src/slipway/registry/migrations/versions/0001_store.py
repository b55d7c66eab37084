"""The store's first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

from slipway.registry.columns import Flag, Json, Seconds, WholeNumber

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table, and the one row of `revision`."""
    _create_accounts()
    _create_algorithms()
    _create_versions()
    _create_builds_and_routes()
    _create_jobs()
    _create_changes()


def _create_accounts() -> None:
    _create(
        "accounts",
        _text("id"),
        _text("name"),
        _text("kind"),
        sa.Column("admin", Flag(), nullable=False),
        _text("email"),
        _seconds("created_at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    _create(
        "keys",
        _text("id"),
        _text("account_id"),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        _text("label"),
        _text("prefix"),
        _seconds("created_at"),
        _seconds("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_keys_account_id", "keys", ["account_id"])


def _create_algorithms() -> None:
    _create(
        "algorithms",
        _text("id"),
        _text("account_id"),
        _text("name"),
        _text("label"),
        _text("summary"),
        _text("tagline"),
        sa.Column("settings", Json(), nullable=False),
        _seconds("created_at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id", "name"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], ondelete="CASCADE"),
    )


def _create_versions() -> None:
    _create(
        "environments",
        _text("digest"),
        _text("language"),
        _text("interpreter"),
        _text("interpreter_version"),
        _text("lock"),
        _text("hardware"),
        sa.Column("trusted", Flag(), nullable=False),
        _seconds("created_at"),
        sa.PrimaryKeyConstraint("digest"),
    )
    _create(
        "versions",
        _text("id"),
        _text("algorithm_id"),
        _text("commit"),
        _text("semantic_version", nullable=True),
        _text("callability", nullable=True),
        _text("language"),
        _text("entry"),
        _text("directory"),
        _text("environment"),
        sa.Column("resources", Json(), nullable=False),
        sa.Column("scaling", Json(), nullable=False),
        _text("release_notes"),
        _text("sample_input"),
        _text("sample_output"),
        _seconds("created_at"),
        _seconds("published_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("algorithm_id", "semantic_version"),
        sa.ForeignKeyConstraint(["algorithm_id"], ["algorithms.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["environment"], ["environments.digest"]),
    )
    op.create_index("ix_versions_environment", "versions", ["environment"])
    op.create_index("ix_versions_algorithm_id_commit", "versions", ["algorithm_id", "commit"])
    op.create_index("ix_versions_algorithm_id_created_at_id", "versions", ["algorithm_id", "created_at", "id"])


def _create_builds_and_routes() -> None:
    _create(
        "builds",
        _text("id"),
        _text("algorithm_id"),
        _text("commit"),
        _text("status"),
        _text("reason"),
        _text("version_id", nullable=True),
        _seconds("started_at"),
        _seconds("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["algorithm_id"], ["algorithms.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], ondelete="SET NULL"),
    )
    op.create_index("ix_builds_version_id", "builds", ["version_id"])
    op.create_index("ix_builds_algorithm_id_started_at_id", "builds", ["algorithm_id", "started_at", "id"])
    op.create_index("ix_builds_status", "builds", ["status"])
    _create(
        "routes",
        _text("algorithm_id"),
        sa.Column("arms", Json(), nullable=False),
        sa.PrimaryKeyConstraint("algorithm_id"),
        sa.ForeignKeyConstraint(["algorithm_id"], ["algorithms.id"], ondelete="CASCADE"),
    )


def _create_jobs() -> None:
    _create(
        "jobs",
        _text("id"),
        _text("kind"),
        _text("idempotency_key"),
        _text("state"),
        sa.Column("payload", Json(), nullable=False),
        sa.Column("attempts", WholeNumber, nullable=False),
        sa.Column("max_attempts", WholeNumber, nullable=False),
        _seconds("not_before"),
        _seconds("lease_until", nullable=True),
        _seconds("deadline_at", nullable=True),
        _text("error"),
        _seconds("created_at"),
        _seconds("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "idempotency_key"),
    )
    op.create_index("ix_jobs_state_kind_created_at", "jobs", ["state", "kind", "created_at"])


def _create_changes() -> None:
    _create(
        "revision",
        sa.Column("id", WholeNumber, primary_key=True, autoincrement=False),
        sa.Column("value", WholeNumber, nullable=False),
        sa.Column("forgotten", WholeNumber, nullable=False),
    )
    op.execute("INSERT INTO revision (id, value, forgotten) VALUES (1, 0, 0)")
    _create(
        "changes",
        sa.Column("revision", WholeNumber, autoincrement=False, nullable=False),
        _text("kind"),
        _text("id"),
        sa.PrimaryKeyConstraint("revision", "kind", "id"),
    )


def _create(name: str, *parts: SchemaItem) -> None:
    op.create_table(name, *parts, sqlite_strict=True)


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _seconds(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, Seconds, nullable=nullable)
