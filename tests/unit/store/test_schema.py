"""The schema is defined once; migrations lead to exactly it."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from nexus_common.runtime.errors import ConfigurationError, SchemaMismatch, StoreUnavailable
from nexus_common.runtime.store import migrate
from nexus_common.runtime.store.revision import REVISIONS, require_revision
from nexus_common.runtime.store.schema import metadata


def test_this_release_knows_every_migration_in_order() -> None:
    scripts = ScriptDirectory.from_config(migrate.configuration())
    walked = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(walked)) == REVISIONS


def test_an_older_store_is_to_be_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_common.runtime.store.revision.REVISIONS", ("0001", "0002"))
    with pytest.raises(SchemaMismatch, match=r"revision 0001, older than this release's 0002: migrate it"):
        require_revision("0001")


@pytest.mark.integration
def test_migrations_lead_to_the_defined_tables(fresh_database: str) -> None:
    migrate.upgrade(fresh_database)
    migrate.check(fresh_database)
    engine = create_engine(fresh_database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


@pytest.mark.integration
def test_nobody_at_the_address_is_said_so() -> None:
    with pytest.raises(StoreUnavailable):
        migrate.check("postgresql://nexus@127.0.0.1:1/nexus")
    with pytest.raises(ConfigurationError, match="expected postgresql://"):
        migrate.upgrade("somewhere")


def test_the_migrations_are_part_of_the_package() -> None:
    assert Path(migrate.__file__).parent in migrate.MIGRATIONS.parents
    assert (migrate.MIGRATIONS / "env.py").exists()
