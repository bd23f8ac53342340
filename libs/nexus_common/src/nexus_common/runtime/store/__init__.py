"""The event store: on Postgres, and in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from nexus_common.contracts.envelope import Recorded, SealedCommand
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import ModelId
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.store.rows import Snapshot, StoredEvent


class Store(EventStore, Protocol):
    """All that both stores do, beyond what services ask of one."""

    async def find(self, event_id: UUID) -> Recorded[Event] | None:
        """The event with this id."""

    async def correlated(self, correlation_id: UUID) -> Sequence[Recorded[Event]]:
        """All events of one story, oldest first."""

    async def command_behind(self, event_id: UUID) -> SealedCommand | None:
        """The command that led to an event, if one was stored with it."""

    async def heads(
        self, categories: Sequence[str], after: int
    ) -> tuple[Sequence[tuple[str, int, bytes]], int]:
        """Stream, position and chain hash of each stream's end that moved behind `after`, and the position
        of the store up to which this holds."""

    async def read_raw(self, after: int = 0, limit: int = 1_000) -> Sequence[StoredEvent]:
        """Events behind a global position as they lie there, tampered with or not."""

    async def save_snapshot(self, stream: str, position: int, state: str) -> None:
        """Remember a folded state; an older one never replaces a newer one."""

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """The remembered state of a stream, unless other code or settings folded it."""

    async def drop_snapshots(self) -> None:
        """Forget all folded states; everything still works."""

    async def keep_artefact(self, model: ModelId, files: Mapping[str, bytes]) -> None:
        """Keep a model's files under its name; those that lie there already stay as they are."""

    async def close(self) -> None:
        """Give back what the store holds."""
