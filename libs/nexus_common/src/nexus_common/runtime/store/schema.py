"""The tables of the store. Alembic's migrations build them, the store's SQL uses their names.

Truth: `events` and `commands`, append-only, and the artefacts in `models` that events name by their hash.
Everything else can be lost without losing history, the inbox and the leases aside, which keep work from being
done twice.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)


def _instant(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False)


events = Table(
    "events",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("stream", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("stream_position", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("event_id", UUID, nullable=False),
    Column("account", Text),
    Column("causation", UUID, nullable=False),
    Column("correlation", UUID, nullable=False),
    _instant("occurred_at"),
    _instant("recorded_at"),
    Column("fingerprint", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("chain_hash", LargeBinary, nullable=False),
    Column("command_id", UUID),
    UniqueConstraint("stream", "stream_position"),
    UniqueConstraint("event_id"),
    Index(None, "category", "position"),
    Index(None, "correlation"),
    # Time travel asks for a day at a time, and events come in nearly in the order they occurred.
    Index(None, "occurred_at", postgresql_using="brin"),
)

commands = Table(
    "commands",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("command_id", UUID, nullable=False),
    Column("stream", Text, nullable=False),
    # Where the first event it led to stands in the stream.
    Column("stream_position", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("causation", UUID, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("command_id"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("consumer", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    PrimaryKeyConstraint("consumer", "source"),
)

leases = Table(
    "leases",
    metadata,
    Column("partition", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    _instant("expires_at"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    # A state folded by other code or settings is not this release's state.
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
)


# Artefacts of models, a row a file; append-only like the truth that names their digests.
models = Table(
    "models",
    metadata,
    Column("model", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    _instant("stored_at"),
    PrimaryKeyConstraint("model", "file"),
)

# What operators ask cortex for. A mailbox: what was decided stands in the events of `model-regime`.
model_wishes = Table(
    "model_wishes",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("model", Text),
    Column("asked_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _instant("asked_at"),
    Column("taken_at", DateTime(timezone=True)),
    Column("outcome", Text),
)


def _read_model(name: str) -> Table:
    """A table of documents: `owner` is whom a row is shown to, `position` the last event that changed it."""
    return Table(
        name,
        metadata,
        Column("key", Text, primary_key=True),
        Column("owner", Text),
        Column("data", JSONB, nullable=False),
        Column("position", BigInteger, nullable=False),
        Index(None, "owner", "position"),
    )


sessions = _read_model("sessions")
users = _read_model("users")
bot_state = _read_model("bot_state")
scheduled_tasks = _read_model("scheduled_tasks")
positions_open = _read_model("positions_open")
trades_closed = _read_model("trades_closed")
orders = _read_model("orders")
notices = _read_model("notices")
ledger = _read_model("ledger")

READ_MODELS = (
    sessions,
    users,
    bot_state,
    scheduled_tasks,
    positions_open,
    trades_closed,
    orders,
    notices,
    ledger,
)
