"""The ledger as a read model of the executor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

GRANT = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'nexus_service') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ledger TO nexus_service;
    END IF;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="ledger_pkey"),
    )
    op.create_index("ledger_owner_position_idx", "ledger", ["owner", "position"])
    op.execute(GRANT)


def downgrade() -> None:
    raise NotImplementedError("a store is never taken back: restore a backup")
