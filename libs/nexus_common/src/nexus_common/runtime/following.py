"""Read models kept up by the service that owns them, beside its turns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.runtime.errors import StoreUnavailable
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.projection import Change, Projection, ProjectionRunner, ReadModels

if TYPE_CHECKING:
    from sqlalchemy import Table

POLL_SECONDS: Final = 0.5
log = get_logger(__name__)


class Together:
    """Projections of one service as one: a single reading of the store and a single commit for all of them.

    They may share an event, never a table.
    """

    def __init__(self, name: str, parts: Sequence[Projection]) -> None:
        tables = [table.name for part in parts for table in part.tables]
        twice = sorted({table for table in tables if tables.count(table) > 1})
        if twice:
            raise ValueError(f"more than one projection of {name} writes {', '.join(twice)}")
        self.name = name
        self.categories: Sequence[str] = sorted({category for part in parts for category in part.categories})
        self.tables: Sequence[Table] = [table for part in parts for table in part.tables]
        self._parts = {
            category: [part for part in parts if category in part.categories] for category in self.categories
        }

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        return list(
            chain.from_iterable(part.apply(envelope) for part in self._parts.get(envelope.category, ()))
        )


class Follower:
    """Follows the store at a distance of half a second. What it lags behind is shown late, never decided on."""

    def __init__(
        self,
        projection: Projection,
        store: EventStore,
        models: ReadModels,
    ) -> None:
        self._store = store
        self._runner = ProjectionRunner(store, models, [projection])
        self._head = -1

    async def keep(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self.catch_up()
            except StoreUnavailable as error:
                log.warning("read models are not kept up", reason=str(error))
            await asyncio.sleep(POLL_SECONDS)

    async def catch_up(self) -> None:
        """Apply what is new, if anything is."""
        head = await self._store.head()
        if head != self._head:
            await self._runner.catch_up()
            self._head = head
