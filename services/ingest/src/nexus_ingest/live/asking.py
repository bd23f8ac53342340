"""Questions to the venues by REST: several at once, not too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from nexus_common.contracts.values import Venue
from nexus_ingest.domain.watch_rules import Series
from nexus_ingest.domain.watching import Answered, Ask, Input, Unanswered
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.venues.feed import Feed, FeedDown

AT_ONCE = 4  # of one venue; its feed keeps the venue's limits beside


class Asker:
    """Runs what the watch asks for beside everything else, and gives it the answers as inputs.

    Of each series one question waits, the newest: the watch gives up on a slow answer and asks anew, and an
    answer to the older question would not be taken.
    """

    def __init__(self, feeds: Mapping[Venue, Feed], time: MarketTime) -> None:
        self._feeds = feeds
        self._time = time
        self._free = {venue: asyncio.Semaphore(AT_ONCE) for venue in feeds}
        self._waiting: dict[Series, Ask] = {}
        self._turns: asyncio.Queue[Series] = asyncio.Queue()

    def ask(self, ask: Ask) -> None:
        series = Series(ask.venue, ask.bars.symbol, ask.bars.timeframe)
        if series not in self._waiting:
            self._turns.put_nowait(series)
        self._waiting[series] = ask

    async def run(self, give: Callable[[Input], None]) -> None:
        """Put questions and give the answers until cancelled."""
        async with asyncio.TaskGroup() as asking:
            while True:
                series = await self._turns.get()
                asking.create_task(self._put(series, give))

    async def _put(self, series: Series, give: Callable[[Input], None]) -> None:
        venue = series.venue
        async with self._free[venue]:
            bars = self._waiting.pop(series).bars
            try:
                found = await self._feeds[venue].bars(bars.symbol, bars.timeframe, bars.first, bars.last)
            except FeedDown as down:
                give(Unanswered(venue, bars, str(down), self._time.received()))
                return
        give(Answered(venue, bars, tuple(found), self._time.received()))
