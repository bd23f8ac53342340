"""Bring a store to this release's schema, or say whether it is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import NullPool

from nexus_common.runtime.errors import ConfigurationError, NexusError, StoreUnavailable
from nexus_common.runtime.settings import load
from nexus_common.runtime.store.revision import REVISIONS, require_revision

# Alembic takes a tenth of a second to import, which every `nexus` verb would wait for.
if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATING = 7957705  # an advisory lock: two starts at once migrate one after the other


def configuration() -> Config:
    """Alembic's settings; the migrations are part of this package, so a wheel and a container have them."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(url: str) -> None:
    """Create or migrate the tables at `postgresql://…`; nothing happens when they are current.

    Raises:
        SchemaMismatch: the store belongs to a newer release.
        StoreUnavailable: nobody answers at the address.
    """
    from alembic import command
    from alembic.runtime.migration import MigrationContext

    engine = _engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATING})
            found = MigrationContext.configure(connection).get_current_revision()
            connection.commit()
            if found is not None and found not in REVISIONS:
                require_revision(found)
            config = configuration()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    except OperationalError as error:
        raise StoreUnavailable(f"the store does not answer: {error.orig}") from error
    finally:
        engine.dispose()


def check(url: str) -> None:
    """Return when the store has this release's schema.

    Raises:
        SchemaMismatch: it is empty, older or newer; the text says which and what to do.
        StoreUnavailable: nobody answers at the address.
    """
    from alembic.runtime.migration import MigrationContext

    engine = _engine(url)
    try:
        with engine.connect() as connection:
            require_revision(MigrationContext.configure(connection).get_current_revision())
    except OperationalError as error:
        raise StoreUnavailable(f"the store does not answer: {error.orig}") from error
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    try:
        address = make_url(url).set(drivername="postgresql+psycopg")
    except ArgumentError as error:
        raise ConfigurationError(
            f"store address: {error}; expected postgresql://user@host:port/database"
        ) from error
    return create_engine(address, poolclass=NullPool)


def main() -> int:
    """`python -m nexus_common.runtime.store.migrate`: migrate the store that the settings name."""
    try:
        upgrade(load().store.url)
    except NexusError as error:
        sys.stderr.write(f"migrate: {error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    sys.stdout.write(f"the store is at revision {REVISIONS[-1]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
