"""How a running stack stands, asked of its store and its bus."""

from __future__ import annotations

from typing import Any

from nexus_common.contracts.values import format_instant
from nexus_common.runtime.bus.jetstream import JetStreamBus
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.store.session import Session
from nexus_ops.feed_standing import feeds_standing
from nexus_ops.model_standing import regime_standing
from nexus_ops.timetravel import last_close

REVISION = b"SELECT version_num FROM alembic_version"
LEASES = b"SELECT partition, holder, epoch, expires_at > clock_timestamp() FROM leases ORDER BY partition"
# Sources that are no streams of events (a venue's updates) have no head here and are left out.
INBOX_LAG = b"""
SELECT i.consumer, count(*), sum(h.head - i.position)::bigint, max(h.head - i.position)::bigint
FROM inbox i CROSS JOIN LATERAL (SELECT max(stream_position) AS head FROM events WHERE stream = i.source) h
WHERE h.head IS NOT NULL GROUP BY i.consumer ORDER BY i.consumer
"""
CHECKPOINTS = b"SELECT name, position FROM checkpoints ORDER BY name"


async def standing(store: EventStore, url: str, bus: JetStreamBus) -> dict[str, Any]:
    """Schema, head, last step, feeds, inbox lag, leases, read models and parked messages as one document.

    `inbox_lag` counts for each consumer the events on its sources behind the last one it recorded as handled.
    What led to nothing is not recorded, so a lag that stands still is no backlog.
    """
    session = Session(url, "nexus status")
    try:
        revision = await session.rows(REVISION)
        leases = await session.rows(LEASES)
        lags = await session.rows(INBOX_LAG)
        checkpoints = await session.rows(CHECKPOINTS)
    finally:
        await session.close()
    head, step = await store.head(), await last_close(store)
    return {
        "schema_revision": revision[0][0] if revision else None,
        "head": head,
        "last_step": None if step is None else format_instant(step),
        "feeds": await feeds_standing(store),
        "inbox_lag": {
            consumer: {"sources": sources, "events": behind, "most": most}
            for consumer, sources, behind, most in lags
        },
        "leases": [
            {"partition": partition, "holder": holder, "epoch": epoch, "held": held}
            for partition, holder, epoch, held in leases
        ],
        "read_models": {name: {"position": at, "behind": head - at} for name, at in checkpoints},
        "parked": len(await bus.parked()),
        "regime": await regime_standing(store),
    }
