"""Models: their artefacts, and what operators ask for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

GRANT = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'nexus_service') THEN
        GRANT SELECT, INSERT ON models TO nexus_service;
        GRANT SELECT, INSERT, UPDATE ON model_wishes TO nexus_service;
    END IF;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", "file", name="models_pkey"),
    )
    op.create_table(
        "model_wishes",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True)),
        sa.Column("outcome", sa.Text),
        sa.PrimaryKeyConstraint("number", name="model_wishes_pkey"),
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON models "
        "FOR EACH STATEMENT EXECUTE FUNCTION nexus_refuse_change()"
    )
    op.execute("ALTER TABLE models ENABLE ALWAYS TRIGGER append_only")
    op.execute(GRANT)


def downgrade() -> None:
    raise NotImplementedError("a store is never taken back: restore a backup")
