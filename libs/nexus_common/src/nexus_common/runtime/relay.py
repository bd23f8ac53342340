"""From the store to the bus: what a service has committed is published, at once or when the bus is back.

The store is the truth and the bus forgets: it may have been away, may have died with events it had
acknowledged, or may come back empty. Then everything that may be missing is published again, in order; the
event id as message id drops most repeats, and every consumer drops the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import format_instant
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.transport import Message, Transport
from nexus_common.runtime.errors import BusUnavailable
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import EventStore

PAGE: Final = 500
# At a start this many positions before the last one on the bus are published again: another replica may
# have published while we died between commit and publish.
MARGIN: Final = 500
LOOK_SECONDS: Final = 0.25
log = get_logger(__name__)

Floor = Callable[[], Awaitable[int]]


class Relay:
    """Publishes the events of the categories one service owns.

    `floor` names a global position up to which every consumer has handled everything; an empty bus is
    filled from there. Without it, from the beginning.
    """

    def __init__(
        self, store: EventStore, bus: Transport, categories: Sequence[str], floor: Floor | None = None
    ) -> None:
        self._store = store
        self._bus = bus
        self._categories = tuple(categories)
        self._run_stream = topology.run_stream(topology.owner_of(categories[0]))
        self._floor = floor
        self._lock = asyncio.Lock()
        self._incarnation: int | None = None
        self._missing_after: int | None = None

    async def publish(self, recorded: Sequence[Recorded[Event]], extra: Sequence[Message] = ()) -> None:
        """Publish what was just committed, and further messages behind it on the same stream.

        Raises BusUnavailable; what was committed is then published with the next call, or by `keep`.
        """
        async with self._lock:
            try:
                await self._fill()
                await self._bus.publish_all([*map(message_of, recorded), *extra])
                await self._fill()
            except BusUnavailable:
                self._note_missing(recorded)
                raise

    async def try_publish(self, recorded: Sequence[Recorded[Event]]) -> None:
        """Publish what was committed; when the bus is away it follows later."""
        try:
            await self.publish(recorded)
        except BusUnavailable as error:
            log.warning("bus does not answer", reason=str(error), events=len(recorded))

    async def catch_up(self) -> None:
        """Publish what the bus lacks; raises BusUnavailable."""
        async with self._lock:
            await self._fill()

    async def keep(self) -> None:
        """Watch for losses and heal them, until cancelled."""
        while True:
            try:
                await self.catch_up()
            except BusUnavailable as error:
                log.warning("bus does not answer", reason=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    def _note_missing(self, recorded: Sequence[Recorded[Event]]) -> None:
        if recorded:
            before = min(r.global_position for r in recorded) - 1
            after = self._missing_after
            self._missing_after = before if after is None else min(before, after)

    async def _fill(self) -> None:
        incarnation = await self._bus.incarnation()
        while incarnation != self._incarnation:
            after = await self._start() if self._incarnation is None else await self._lowest()
            known = self._missing_after
            self._missing_after = after if known is None else min(after, known)
            self._incarnation = incarnation
            await self._publish_missing()
            incarnation = await self._bus.incarnation()
        await self._publish_missing()

    async def _start(self) -> int:
        """Where to begin in a process that remembers nothing: shortly before what the bus has of ours."""
        last = await self._bus.last_position(self._categories)
        lowest = await self._lowest()
        return max(last - MARGIN, lowest) if last else lowest

    async def _lowest(self) -> int:
        return 0 if self._floor is None else await self._floor()

    async def _publish_missing(self) -> None:
        while self._missing_after is not None:
            page = await self._store.read_categories(
                (*self._categories, topology.RUN), self._missing_after, limit=PAGE
            )
            await self._bus.publish_all([message_of(r) for r in page if self._is_ours(r)])
            self._missing_after = page[-1].global_position if len(page) == PAGE else None

    def _is_ours(self, recorded: Recorded[Event]) -> bool:
        return recorded.envelope.category != topology.RUN or recorded.envelope.stream == self._run_stream


def message_of(recorded: Recorded[Event]) -> Message:
    """An event as it goes over the bus: its body, and beside it what only the store knows."""
    headers = {
        topology.POSITION_HEADER: str(recorded.global_position),
        topology.RECORDED_AT_HEADER: format_instant(recorded.recorded_at),
    }
    return (
        topology.subject_for(recorded),
        recorded.body.encode(),
        headers,
        str(recorded.envelope.event_id),
    )
