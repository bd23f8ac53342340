"""Puts a market on record: what is listed, the bars to warm up with, then step by step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.feed import EndFeed, ReportGap, StartFeed
from nexus_common.contracts.ids import candle_id, step_id, timer_id
from nexus_common.contracts.instrument import Instrument, ListInstruments
from nexus_common.contracts.macro import MacroRead, RecordMacro
from nexus_common.contracts.market import FundingSettled, RecordBackfill, RecordCandles, RecordFunding
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.ports import Desk
from nexus_data.market_feed import Market, Step
from nexus_ingest.domain.candle_stream import MARKET, funding_key
from nexus_ingest.domain.feed import FEED
from nexus_ingest.domain.instrument import INSTRUMENT
from nexus_ingest.domain.macro import MACRO


class Recorder:
    """Translates a market into ingest's commands. Recording the same again records nothing."""

    def __init__(self, market: Market, instruments: Sequence[Instrument]) -> None:
        self._market = market
        self._by_venue: dict[Venue, list[Instrument]] = {}
        for instrument in instruments:
            self._by_venue.setdefault(instrument.venue, []).append(instrument)

    async def open(self, desk: Desk) -> None:
        """List the instruments, start the feeds, hand out the bars from before the start."""
        start = self._market.start
        for venue, instruments in sorted(self._by_venue.items()):
            cause = timer_id(f"open/{venue}", start)
            await desk.handle(
                INSTRUMENT, venue, ListInstruments(start, venue, tuple(instruments)), cause=cause
            )
            sources = {i.symbol: self._market.sources[i.symbol] for i in instruments}
            command = StartFeed(start, venue, sources, tuple(self._market.notes), start, self._market.end)
            await desk.handle(FEED, venue, command, cause=cause)
        for backfill in self._market.warmup():
            first = datetime.fromtimestamp(backfill.bars[0].open_time / 1_000, tz=start.tzinfo)
            key = f"{backfill.venue}.{backfill.symbol}.{backfill.timeframe}"
            cause = candle_id(backfill.venue, backfill.symbol, backfill.timeframe, first)
            await desk.handle(MARKET, key, RecordBackfill(start, backfill), cause=cause)

        for reading in self._market.macro_before():
            await self._macro(start, reading, desk)

    async def step(self, step: Step, desk: Desk) -> None:
        """What became known at one instant; the candles come last, they are what the step is for."""
        for gap in step.gaps:
            cause = timer_id(f"gap/{gap.venue}/{gap.symbol}/{gap.timeframe}", gap.first)
            await desk.handle(FEED, gap.venue, ReportGap(step.at, gap), cause=cause)
        if step.macro is not None:
            await self._macro(step.at, step.macro, desk)
        for symbol, rate in step.funding.items():
            await self._funding(step, symbol, rate, desk)
        for closed in step.closed:
            cause = step_id(closed.venue, closed.partition, closed.at)
            key = f"{closed.venue}.{closed.partition}"
            await desk.handle(MARKET, key, RecordCandles(closed.at, closed), cause=cause)

    async def _macro(self, at: datetime, reading: MacroRead, desk: Desk) -> None:
        cause = timer_id("macro", reading.known_at)
        await desk.handle(MACRO, "global", RecordMacro(at, reading), cause=cause)

    async def _funding(self, step: Step, symbol: Symbol, rate: Decimal, desk: Desk) -> None:
        bar = step.bars.get(symbol)
        if bar is None:
            return  # no price to settle at: the exchange settles nothing either
        venue = self._market.venue_of(symbol)
        funding = FundingSettled(venue=venue, symbol=symbol, rate=rate, mark_price=bar.close, at=step.at)
        cause = timer_id(f"funding/{venue}/{symbol}", step.at)
        await desk.handle(MARKET, funding_key(venue, symbol), RecordFunding(step.at, funding), cause=cause)

    async def end(self, at: datetime, desk: Desk) -> None:
        for venue in sorted(self._by_venue):
            await desk.handle(FEED, venue, EndFeed(at, venue), cause=timer_id(f"end/{venue}", at))
