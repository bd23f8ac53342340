"""A venue before its market is followed: what it lists, its feed, and the bars to warm up with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from nexus_common.contracts.feed import StartFeed
from nexus_common.contracts.ids import candle_id, derived, timer_id
from nexus_common.contracts.instrument import InstrumentsListed
from nexus_common.contracts.market import Bar, CandlesBackfilled, RecordBackfill
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.health import Health
from nexus_common.runtime.log import get_logger
from nexus_data.market_feed import BACKFILL_BARS, WARMUP_BARS
from nexus_ingest.domain.candle_stream import MARKET, MarketState, partition_key, series_key
from nexus_ingest.domain.feed import FEED, FeedState
from nexus_ingest.domain.instrument import INSTRUMENT
from nexus_ingest.domain.watch_rules import Series
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.recording import Request, request_of
from nexus_ingest.live.steps import Steps
from nexus_ingest.venues.feed import Feed, FeedDown, FeedRefused, Listing
from nexus_market.candles import from_millis, slot_millis, to_millis

AT_ONCE: Final = 4
RETRY_SECONDS: Final = 5.0
REST: Final = "rest"
# A stock exchange is open for a fifth of the week at least.
SHUT: Final = 6
# REST may still change what closed in the last second.
SETTLED: Final = timedelta(seconds=1)
T = TypeVar("T")
log = get_logger(__name__)


async def insist(ask: Callable[[], Awaitable[T]], what: str, health: Health) -> T:
    """Ask a venue until it answers; the health page says what is waited for. Raises FeedRefused."""
    while True:
        try:
            return await ask()
        except FeedRefused:
            raise
        except FeedDown as down:
            log.warning("a venue does not answer", what=what, reason=str(down))
            health.note(waiting_for=f"{what}: {down}")
            await asyncio.sleep(RETRY_SECONDS)


@dataclass(frozen=True, slots=True)
class Opened:
    """The instruments to follow, and the open time (ms) of the last bar on record of each series that has one."""

    symbols: tuple[Symbol, ...]
    newest: Mapping[Series, int]


class Opening:
    """Opens one venue. What is on record already is neither recorded nor fetched again."""

    def __init__(
        self, feed: Feed, symbols: Sequence[Symbol], steps: Steps, time: MarketTime, health: Health
    ) -> None:
        self._feed = feed
        self._venue: Venue = feed.venue
        self._symbols = tuple(symbols)
        self._steps = steps
        self._time = time
        self._health = health
        self._free = asyncio.Semaphore(AT_ONCE)
        self._done = 0

    async def open(self) -> Opened:
        """List, start and warm up."""
        at = self._time.now()
        symbols = await self._start(at)
        series = [Series(self._venue, symbol, timeframe) for symbol in symbols for timeframe in Timeframe]
        async with asyncio.TaskGroup() as warming:
            tasks = [warming.create_task(self._warm(each, at, len(series))) for each in series]
        newest = {each: task.result() for each, task in zip(series, tasks, strict=True)}
        return Opened(symbols, {each: opened for each, opened in newest.items() if opened is not None})

    async def _start(self, at: datetime) -> tuple[Symbol, ...]:
        """At the first start; a later one reads the listing in a step, so that people are told of changes.

        Returns the instruments that are listed, of those that were chosen.
        """
        started: FeedState = await self._steps.state(FEED, self._venue)
        listed: InstrumentsListed | None = await self._steps.state(INSTRUMENT, self._venue)
        if started.started is not None and listed is not None:
            return self._known(listed)
        listing = await insist(self._feed.listing, f"{self._venue} instruments", self._health)
        listed = listed_by(self._venue, listing)
        cause = timer_id(f"open/{self._venue}", at)
        symbols = self._known(listed)
        unknown = tuple(f"{each} is not listed" for each in self._symbols if each not in symbols)
        sources = {symbol: f"{self._venue} live" for symbol in symbols}
        start = StartFeed(at, self._venue, sources, unknown, at, None)
        await self._steps.record_apart(
            [(request_of(listed, at), cause), (Request(FEED, self._venue, start), cause)]
        )
        return symbols

    def _known(self, listed: InstrumentsListed) -> tuple[Symbol, ...]:
        names = {instrument.symbol for instrument in listed.instruments}
        return tuple(symbol for symbol in self._symbols if symbol in names)

    async def _warm(self, series: Series, at: datetime, total: int) -> int | None:
        async with self._free:
            newest = await self._newest(series)
            if newest is None:
                newest = await self._backfill(series, at)
        self._done += 1
        self._health.note(**{f"{self._venue}_warmed": f"{self._done}/{total} series"})
        return newest

    async def _newest(self, series: Series) -> int | None:
        """The open time of the last bar on record."""
        venue, symbol, timeframe = series
        back: MarketState = await self._steps.state(MARKET, series_key(venue, symbol, timeframe))
        closed: MarketState = await self._steps.state(MARKET, partition_key(venue, 0))
        until = closed.closed_until.get((symbol, timeframe))
        if until is None:
            return back.backfilled_until
        return to_millis(until) - slot_millis(timeframe)

    async def _backfill(self, series: Series, at: datetime) -> int | None:
        bars = await self._bars_before(series, to_millis(at - SETTLED))
        for begin in range(0, len(bars), BACKFILL_BARS):
            await self._record(series, tuple(bars[begin : begin + BACKFILL_BARS]), at)
        return bars[-1].open_time if bars else None

    async def _bars_before(self, series: Series, end: int) -> list[Bar]:
        """The last WARMUP_BARS, or all there are; asked back over nights and weekends where a venue closes."""
        slot = slot_millis(series.timeframe)
        span = WARMUP_BARS * (1 if series.venue.is_crypto else SHUT) * slot
        behind = end // slot * slot
        bars: list[Bar] = []
        while len(bars) < WARMUP_BARS:
            earlier = await self._asked(series, behind - span, behind - slot)
            if not earlier:
                break
            bars = earlier + bars
            behind -= span
        return bars[-WARMUP_BARS:]

    async def _asked(self, series: Series, first: int, last: int) -> list[Bar]:
        """A series whose history the venue refuses begins without one."""
        venue, symbol, timeframe = series
        what = f"{venue} {symbol} {timeframe} bars"
        try:
            return await insist(lambda: self._feed.bars(symbol, timeframe, first, last), what, self._health)
        except FeedRefused as refused:
            log.error("no bars to warm up with", what=what, reason=str(refused))
            return []

    async def _record(self, series: Series, bars: tuple[Bar, ...], at: datetime) -> None:
        venue, symbol, timeframe = series
        backfill = CandlesBackfilled(venue=venue, symbol=symbol, timeframe=timeframe, source=REST, bars=bars)
        cause = candle_id(venue, symbol, timeframe, from_millis(bars[0].open_time))
        key = series_key(venue, symbol, timeframe)
        request = Request(MARKET, key, RecordBackfill(at, backfill))
        await self._steps.record_apart([(request, derived(cause, "backfill"))])


def listed_by(venue: Venue, listing: Listing) -> InstrumentsListed:
    return InstrumentsListed(
        venue=venue,
        instruments=listing.instruments,
        not_trading=listing.not_trading,
        terms=dict(listing.terms),
        unreadable=dict(listing.unreadable),
    )
