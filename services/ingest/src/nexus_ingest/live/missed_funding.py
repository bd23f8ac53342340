"""Funding that fell due while nobody listened: the venue is asked what it has settled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from nexus_common.contracts.market import FundingSettled
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.log import get_logger
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.recording import Known
from nexus_ingest.live.routines import LEAST_SECONDS
from nexus_ingest.venues.feed import Feed, FeedDown
from nexus_market.candles import from_millis, slot_millis, spell, to_millis

# Perpetuals settle every hour at most.
EVERY_SECONDS: Final = 3_600.0
# The stream has its time first.
AGE: Final = timedelta(minutes=10)
MINUTE: Final = slot_millis(Timeframe.M1)
log = get_logger(__name__)

Funded = Callable[[Venue, Symbol], Awaitable[datetime | None]]


class MissedFunding:
    """Asks at the start and every hour. `funded` is up to when an instrument's funding is on record.

    Of an instrument without a settlement on record nothing is asked: it was not followed before.
    """

    def __init__(
        self,
        feeds: Mapping[Venue, Feed],
        symbols: Mapping[Venue, Sequence[Symbol]],
        funded: Funded,
        time: MarketTime,
        known: Callable[[Known], None],
    ) -> None:
        self._feeds = {venue: feed for venue, feed in feeds.items() if venue.is_crypto}
        self._symbols = symbols
        self._funded = funded
        self._time = time
        self._known = known

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            for venue in self._feeds:
                for symbol in self._symbols[venue]:
                    await self._ask(venue, symbol)
            await asyncio.sleep(max(LEAST_SECONDS, self._time.wall_seconds(EVERY_SECONDS)))

    async def _ask(self, venue: Venue, symbol: Symbol) -> None:
        until = await self._funded(venue, symbol)
        if until is None or self._time.now() - until < timedelta(hours=1) + AGE:
            return
        try:
            for settled in await self._missed(venue, symbol, until):
                self._known(settled)
        except FeedDown as down:
            log.warning("a venue does not tell its funding", venue=venue, symbol=symbol, reason=str(down))

    async def _missed(self, venue: Venue, symbol: Symbol, until: datetime) -> list[FundingSettled]:
        """Raises FeedDown."""
        feed = self._feeds[venue]
        first, last = to_millis(until) + MINUTE, to_millis(self._time.now() - AGE)
        missed = []
        for settled in await feed.settlements(symbol, first, last):
            due = settled.at // MINUTE * MINUTE
            bars = await feed.bars(symbol, Timeframe.M1, due, due)
            if bars:
                missed.append(
                    FundingSettled(
                        venue=venue,
                        symbol=symbol,
                        rate=spell(settled.rate),
                        mark_price=bars[0].open,
                        at=from_millis(due),
                    )
                )
        return missed
