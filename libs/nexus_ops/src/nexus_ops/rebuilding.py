"""Read models and snapshots are caches: dropped here, and made again from the events alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from nexus_common.contracts.values import Service
from nexus_common.runtime.bus import topology
from nexus_common.runtime.following import Together
from nexus_common.runtime.projection import ProjectionRunner, ReadModels
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_common.runtime.store.session import Session
from nexus_executor import projections as executor
from nexus_ops.deciders import DECIDERS
from nexus_ops.decisions import events_of
from nexus_scheduler import projections as scheduler
from nexus_telegram import projections as telegram

READ_MODELS: Final[Mapping[Service, Callable[[], Together]]] = MappingProxyType(
    {
        Service.TELEGRAM: telegram.read_models,
        Service.SCHEDULER: scheduler.read_models,
        Service.EXECUTOR: executor.read_models,
    }
)
DROP_SNAPSHOTS: Final = b"DELETE FROM snapshots WHERE split_part(stream, '-', 1) = ANY(%s) RETURNING 1"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`documents` by table; `streams` and `events` that the service's own state was folded from."""

    service: Service
    documents: dict[str, int]
    snapshots_dropped: int
    streams: int
    events: int

    def to_json(self) -> dict[str, Any]:
        return {
            "service": str(self.service),
            "documents": self.documents,
            "snapshots_dropped": self.snapshots_dropped,
            "streams": self.streams,
            "events": self.events,
        }


async def rebuild(
    service: Service, store: PostgresStore, models: ReadModels, url: str, progress: Progress
) -> Rebuilt:
    """Drop a service's snapshots and read models, make the read models anew, and fold its streams once to see
    that they fold. `progress` hears the position reached and the aim. The service may be running meanwhile.
    """
    session = Session(url, "nexus rebuild")
    try:
        dropped = await session.rows(DROP_SNAPSHOTS, (list(topology.owned_by(service)),))
        documents: dict[str, int] = {}
        if service in READ_MODELS:
            projection = READ_MODELS[service]()
            await ProjectionRunner(store, models, [projection]).rebuild(progress=progress)
            for table in projection.tables:
                counted = await session.rows(f"SELECT count(*) FROM {table.name}".encode())  # noqa: S608
                documents[f"{table.name}"] = counted[0][0]  # a name of SQLAlchemy's is no plain text
    finally:
        await session.close()
    streams, events = await _fold(service, store, progress)
    return Rebuilt(service, documents, len(dropped), streams, events)


async def _fold(service: Service, store: PostgresStore, progress: Progress) -> tuple[int, int]:
    """How many streams of a service there are, and of how many events; each is folded on the way."""
    head, states, events = await store.head(), dict[str, Any](), 0
    async for recorded in events_of(store, topology.owned_by(service)):
        decider = DECIDERS.get(recorded.envelope.category)
        stream = recorded.envelope.stream
        if decider is None:
            states[stream] = None
        else:
            states[stream] = decider.evolve(states.get(stream, decider.initial), recorded.event)
        events += 1
        progress(recorded.global_position, head)
    return len(states), events
