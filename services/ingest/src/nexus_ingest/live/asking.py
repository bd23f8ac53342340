"""Questions to the venues by REST: several at once, not too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from nexus_common.contracts.values import Venue
from nexus_ingest.domain.watching import Answered, Ask, Input, Unanswered
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.venues.feed import Feed, FeedDown

AT_ONCE = 4  # of one venue; its feed keeps the venue's limits beside


class Asker:
    """Runs what the watch asks for beside everything else, and gives it the answers as inputs."""

    def __init__(self, feeds: Mapping[Venue, Feed], time: MarketTime) -> None:
        self._feeds = feeds
        self._time = time
        self._free = {venue: asyncio.Semaphore(AT_ONCE) for venue in feeds}
        self._asks: asyncio.Queue[Ask] = asyncio.Queue()

    def ask(self, ask: Ask) -> None:
        self._asks.put_nowait(ask)

    async def run(self, give: Callable[[Input], None]) -> None:
        """Put questions and give the answers until cancelled."""
        async with asyncio.TaskGroup() as asking:
            while True:
                ask = await self._asks.get()
                asking.create_task(self._put(ask, give))

    async def _put(self, ask: Ask, give: Callable[[Input], None]) -> None:
        bars, venue = ask.bars, ask.venue
        try:
            async with self._free[venue]:
                found = await self._feeds[venue].bars(bars.symbol, bars.timeframe, bars.first, bars.last)
        except FeedDown as down:
            give(Unanswered(venue, bars, str(down), self._time.received()))
        else:
            give(Answered(venue, bars, tuple(found), self._time.received()))
