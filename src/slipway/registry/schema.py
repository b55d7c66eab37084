"""The store's tables: one schema for SQLite and PostgreSQL. Migrations repeat it; a test proves that they agree."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, MetaData, Table, Text, UniqueConstraint, text
from sqlalchemy.schema import SchemaItem

from slipway.registry.columns import Flag, Json, Seconds, WholeNumber
from slipway.types import Arm, Permissions, Resources, Scaling, Start

# Every constraint has a name on both databases, so that a later migration can change it.
NAMING = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
metadata = MetaData(naming_convention=NAMING)


def _table(name: str, *parts: SchemaItem) -> Table:
    return Table(name, metadata, *parts, sqlite_strict=True)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _cascade(name: str, target: str) -> Column[str]:
    return Column(name, Text, ForeignKey(target, ondelete="CASCADE"), nullable=False)


def _seconds(name: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Seconds, nullable=nullable)


accounts = _table(
    "accounts",
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    _text("kind"),
    Column("admin", Flag, nullable=False),
    _text("email"),
    _seconds("created_at"),
    Column("profile", Json(dict[str, str])),  # what the API keeps beside, such as an organization's label
    _seconds("deleted_at", nullable=True),  # its name stays taken: the journal's records speak of it
)

members = _table(
    "members",
    Column("organization_id", Text, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True),
    _text("role"),
    _seconds("created_at"),
)

keys = _table(
    "keys",
    Column("id", Text, primary_key=True),
    _cascade("account_id", "accounts.id"),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    _text("label"),
    _text("prefix"),
    _seconds("created_at"),
    _seconds("revoked_at", nullable=True),
    Column("permissions", Json(Permissions)),  # null: all that the account may do
    Index(None, "account_id"),
)

algorithms = _table(
    "algorithms",
    Column("id", Text, primary_key=True),
    _cascade("account_id", "accounts.id"),
    _text("name"),
    _text("label"),
    _text("summary"),
    _text("tagline"),
    Column("settings", Json(dict[str, str | bool | int]), nullable=False),
    _seconds("created_at"),
    UniqueConstraint("account_id", "name"),
)

environments = _table(
    "environments",
    Column("digest", Text, primary_key=True),
    _text("language"),
    _text("interpreter"),
    _text("interpreter_version"),
    _text("lock"),
    _text("hardware"),
    Column("trusted", Flag, nullable=False),
    _seconds("created_at"),
)

# `owner`, `algorithm`, `interpreter` and `trusted` of types.Version are joined in from the tables that own them.
versions = _table(
    "versions",
    Column("id", Text, primary_key=True),
    _cascade("algorithm_id", "algorithms.id"),
    _text("commit"),
    Column("semantic_version", Text),
    Column("callability", Text),
    _text("language"),
    _text("entry"),
    _text("directory"),
    Column("environment", Text, ForeignKey("environments.digest"), nullable=False, index=True),
    Column("resources", Json(Resources), nullable=False),
    Column("scaling", Json(Scaling), nullable=False),
    _text("release_notes"),
    _text("sample_input"),
    _text("sample_output"),
    _seconds("created_at"),
    _seconds("published_at", nullable=True),
    Column("start", Json(Start), nullable=False, server_default=text("'{}'")),
    UniqueConstraint("algorithm_id", "semantic_version"),
    Index(None, "algorithm_id", "commit"),
    Index(None, "algorithm_id", "created_at", "id"),
)

# What is said of directories of hosted data that are not as their parents, by path; all else is in the file system.
directories = _table(
    "directories",
    Column("path", Text, primary_key=True),
    Column("read_acl", Json(tuple[str, ...]), nullable=False),
)

builds = _table(
    "builds",
    Column("id", Text, primary_key=True),
    _cascade("algorithm_id", "algorithms.id"),
    _text("commit"),
    _text("status"),
    _text("reason"),
    Column("version_id", Text, ForeignKey("versions.id", ondelete="SET NULL"), index=True),
    _seconds("started_at"),
    _seconds("finished_at", nullable=True),
    Index(None, "algorithm_id", "started_at", "id"),
    Index(None, "status"),
)

routes = _table(
    "routes",
    Column("algorithm_id", Text, ForeignKey("algorithms.id", ondelete="CASCADE"), primary_key=True),
    Column("arms", Json(tuple[Arm, ...]), nullable=False),
)

jobs = _table(
    "jobs",
    Column("id", Text, primary_key=True),
    _text("kind"),
    _text("idempotency_key"),
    _text("state"),
    Column("payload", Json(dict[str, str]), nullable=False),
    Column("attempts", WholeNumber, nullable=False),
    Column("max_attempts", WholeNumber, nullable=False),
    _seconds("not_before"),  # a retry waits until then
    _seconds("lease_until", nullable=True),
    _seconds("deadline_at", nullable=True),
    _text("error"),
    _seconds("created_at"),
    _seconds("finished_at", nullable=True),
    Column("lane", Text, nullable=False, server_default=text("''")),
    Column("lane_limit", WholeNumber, nullable=False, server_default=text("0")),
    Column("excused", WholeNumber, nullable=False, server_default=text("0")),
    UniqueConstraint("kind", "idempotency_key"),
    # Tens of thousands may be queued: each of these finds what a runner asks for without looking at the others.
    Index(None, "state", "kind", "created_at"),
    Index(None, "state", "kind", "lane", "created_at"),
    Index(None, "state", "deadline_at"),
)

# Asynchronous calls: their inputs and results, unless these are so large that they lie in files. Each has a job, of
# kind `call` and with its id as key, until it has an outcome.
requests = _table(
    "requests",
    Column("id", Text, primary_key=True),
    _text("caller"),
    _text("version_id"),  # no reference: the version may be deleted before it runs
    _text("state"),  # pending; settled: it has an outcome; recorded: and that stands in the journal
    Column("call", LargeBinary, nullable=False),
    Column("input", LargeBinary),
    Column("outcome", LargeBinary),
    Column("result", LargeBinary),
    _seconds("created_at"),
    _seconds("finished_at", nullable=True),
    Index(None, "state", "created_at"),
    Index(None, "finished_at"),
)

secrets = _table(
    "secrets",
    Column("id", Text, primary_key=True),
    _cascade("algorithm_id", "algorithms.id"),
    _text("short_name"),
    _text("description"),
    _text("secret_key"),
    Column("sealed", LargeBinary, nullable=False),  # access.secrets says how
    _seconds("created_at"),
    _seconds("updated_at"),
    UniqueConstraint("algorithm_id", "secret_key"),
)

reservations = _table(
    "reservations",
    Column("id", Text, primary_key=True),
    _cascade("algorithm_id", "algorithms.id"),
    _text("calling_user"),
    _text("version_type"),
    _text("version_identifier"),
    Column("num_slots", WholeNumber, nullable=False),
    _seconds("created_at"),
    Index(None, "algorithm_id"),
)

policies = _table(
    "policies",
    Column("account_id", Text, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    _text("text"),
    _seconds("updated_at"),
)

# One row. Taking the next value locks it until the commit: that is what puts the changes into commit order.
revision = _table(
    "revision",
    Column("id", WholeNumber, primary_key=True, autoincrement=False),
    Column("value", WholeNumber, nullable=False),
    Column("forgotten", WholeNumber, nullable=False),  # changes up to this one have been dropped
)

changes = _table(
    "changes",
    Column("revision", WholeNumber, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
)
