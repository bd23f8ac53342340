"""Which state of the schema this release works with; apart from the tables, to start without SQLAlchemy."""

from __future__ import annotations

from nexus_common.runtime.errors import SchemaMismatch

# Every revision this release knows, oldest first; a new migration adds its own at the end.
REVISIONS = ("0001", "0002", "0003")
SERVICE_ROLE = "nexus_service"


def require_revision(found: str | None) -> None:
    """Check the revision a store is at against this release's newest.

    Raises:
        SchemaMismatch: with what to do about it.
    """
    newest = REVISIONS[-1]
    if found == newest:
        return
    if found is None:
        raise SchemaMismatch(
            "the store has no tables yet: migrate it (`nexus up` does) before services start"
        )
    if found in REVISIONS:
        raise SchemaMismatch(
            f"the store is at revision {found}, older than this release's {newest}: migrate it (`nexus up` does)"
        )
    raise SchemaMismatch(
        f"the store is at revision {found}, which this release (newest {newest}) does not know: "
        "run the release that wrote it, or a newer one"
    )
