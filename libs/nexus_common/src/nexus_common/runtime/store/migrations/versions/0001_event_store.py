"""The event store: events and commands, inbox, leases, caches and read models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("events", "commands")
BOOKKEEPING = ("inbox", "leases", "checkpoints")
READ_MODELS = (
    "sessions",
    "users",
    "bot_state",
    "scheduled_tasks",
    "positions_open",
    "trades_closed",
    "orders",
    "notices",
)

# Positions must become visible in the order they were handed out, or a reader of `position > n` skips what
# commits late. So whoever inserts waits here until the one before has committed.
SERIALISE = """
CREATE FUNCTION nexus_serialise_appends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7957704);
    RETURN NULL;
END $$
"""

REFUSE_CHANGE = """
CREATE FUNCTION nexus_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$
"""

# Undoes a whole append: two of one consumer raced, and the inbox is at or behind the given position by now.
GIVE_UP = """
CREATE FUNCTION nexus_give_up() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'handled meanwhile' USING ERRCODE = 'NX001';
END $$
"""

# Roles belong to the whole cluster: another database may have made it, or be making it this very moment.
CREATE_ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nexus_service') THEN
        CREATE ROLE nexus_service NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
END $$
"""

GRANT = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'nexus_service') THEN
        GRANT {rights} ON {tables} TO nexus_service;
    END IF;
END $$
"""


def upgrade() -> None:
    _create_truth()
    _create_bookkeeping()
    for name in READ_MODELS:
        _create_read_model(name)
    _guard_truth()
    _grant()


def downgrade() -> None:
    raise NotImplementedError("a store is never taken back: restore a backup")


def _create_truth() -> None:
    op.create_table(
        "events",
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("stream_position", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("event_id", UUID, nullable=False),
        sa.Column("account", sa.Text),
        sa.Column("causation", UUID, nullable=False),
        sa.Column("correlation", UUID, nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("chain_hash", sa.LargeBinary, nullable=False),
        sa.Column("command_id", UUID),
        sa.PrimaryKeyConstraint("position", name="events_pkey"),
        sa.UniqueConstraint("stream", "stream_position", name="events_stream_stream_position_key"),
        sa.UniqueConstraint("event_id", name="events_event_id_key"),
    )
    op.create_index("events_category_position_idx", "events", ["category", "position"])
    op.create_index("events_correlation_idx", "events", ["correlation"])
    op.create_index("events_occurred_at_idx", "events", ["occurred_at"], postgresql_using="brin")
    op.create_table(
        "commands",
        sa.Column("seq", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("command_id", UUID, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("stream_position", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("causation", UUID, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="commands_pkey"),
        sa.UniqueConstraint("command_id", name="commands_command_id_key"),
    )


def _create_bookkeeping() -> None:
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("consumer", "source", name="inbox_pkey"),
    )
    op.create_table(
        "leases",
        sa.Column("partition", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("partition", name="leases_pkey"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="checkpoints_pkey"),
    )
    op.create_table(
        "snapshots",
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("stream", name="snapshots_pkey"),
    )


def _create_read_model(name: str) -> None:
    op.create_table(
        name,
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name=f"{name}_pkey"),
    )
    op.create_index(f"{name}_owner_position_idx", name, ["owner", "position"])


def _guard_truth() -> None:
    for function in (SERIALISE, REFUSE_CHANGE, GIVE_UP):
        op.execute(function)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER serialise BEFORE INSERT ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION nexus_serialise_appends()"
        )
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION nexus_refuse_change()"
        )
        # Also in sessions that replay a dump or act as a replica, where ordinary triggers keep silent.
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")


def _grant() -> None:
    op.execute(CREATE_ROLE)
    for rights, tables in (
        ("SELECT, INSERT", APPEND_ONLY),
        ("SELECT", ("SEQUENCE events_position_seq", "TABLE alembic_version")),
        ("SELECT, INSERT, UPDATE, DELETE", BOOKKEEPING),
        ("SELECT, INSERT, UPDATE, DELETE, TRUNCATE", ("snapshots", *READ_MODELS)),
    ):
        for table in tables:
            op.execute(GRANT.format(rights=rights, tables=table))
