"""A feed and the watch behind it, in the time of a market that is played as fast as it is read."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress

from contract.feeds.recipients import Figures
from nexus_common.contracts.market import CandleCorrected, CandlesClosed
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.readings import KlineRead, Reading
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watching import (
    Answered,
    Ask,
    Closed,
    Heard,
    Input,
    Opened,
    Refused,
    Reopen,
    TimePassed,
    Unanswered,
)
from nexus_ingest.venues.feed import FeedDown, RawFrame, ReadBy
from nexus_ingest.venues.perpetuals import PerpetualsFeed
from nexus_market.candles import from_millis, slot_millis, to_millis

_IDLE_SECONDS = 0.05
_MANY = 10_000
Key = tuple[Symbol, Timeframe]


def unhurried(slot: int) -> WatchRules:
    """Budgets for a market in which a candle's time (ms) passes within milliseconds: REST is slow in it."""
    return WatchRules(
        connection_silence_ms=4 * slot,
        candle_silence_ms=slot // 4,
        stream_silence_ms=_MANY * slot,
        answer_ms=_MANY * slot,
        confirm_ms=_MANY * slot,
        retry_first_ms=slot,
        retry_most_ms=100 * slot,
    )


class WatchedFeed:
    """Gives the watch what the feed tells, and does what the watch wants; keeps the candles that closed.

    Time is that of the newest candle told. When nothing is told for a moment, the venue is asked what time it
    is, so that silence is judged by market time as well.
    """

    def __init__(self, feed: PerpetualsFeed, known: Mapping[Key, int], start: int) -> None:
        """`known`: the open time (ms) of the bar before the first, by series, all of one timeframe."""
        symbols, timeframes = ({key[n] for key in known} for n in (0, 1))
        watched = WatchedVenue(Venue.BINANCE, tuple(sorted(symbols)), tuple(timeframes))
        series = {Series(Venue.BINANCE, *key): opened for key, opened in known.items()}
        self.candles: dict[Key, list[Figures]] = defaultdict(list)
        self.happened: Counter[str] = Counter()
        self.corrections: list[CandleCorrected] = []
        self._feed = feed
        self._known = known
        self._watch = MarketWatch(unhurried(slot_millis(next(iter(timeframes)))), [watched], series)
        self._now = start
        self._frames = 0
        self._asks: set[asyncio.Task[None]] = set()

    # -- the feed's sink ------------------------------------------------------------------------------

    def opened(self, venue: Venue, connection: str, received_ns: int) -> None:
        self.happened["opened"] += 1
        self._give(Opened(venue, connection, from_millis(self._now)))

    def closed(self, venue: Venue, connection: str, reason: str, received_ns: int) -> None:
        self.happened["closed"] += 1
        self._give(Closed(venue, connection, reason, from_millis(self._now)))

    def heard(
        self,
        venue: Venue,
        connection: str,
        frame: RawFrame,
        readings: Sequence[Reading],
        received_ns: int,
        read_by: ReadBy | None = None,
    ) -> None:
        self._frames += 1
        for reading in readings:
            if isinstance(reading, KlineRead):
                self._now = max(self._now, reading.at)
        self._give(Heard(venue, connection, readings, from_millis(self._now)))

    def refused(self, venue: Venue, connection: str, frame: RawFrame, reason: str, received_ns: int) -> None:
        self.happened[f"refused: {reason}"] += 1
        self._give(Refused(venue, connection, reason, str(frame[:80]), from_millis(self._now)))

    # -- the watch ------------------------------------------------------------------------------------

    def _give(self, given: Input) -> None:
        deadline = self._watch.deadline()
        if deadline is not None and deadline < given.at:
            self._take(TimePassed(given.at))
        self._take(given)

    def _take(self, given: Input) -> None:
        for output in self._watch.take(given):
            match output:
                case CandlesClosed():
                    self._keep(output)
                case CandleCorrected():
                    self.corrections.append(output)
                case Ask():
                    self.happened["asked"] += 1
                    task = asyncio.create_task(self._ask(output))
                    self._asks.add(task)
                    task.add_done_callback(self._asks.discard)
                case Reopen():
                    self.happened["reopened"] += 1
                    self._feed.reopen(output.connection, output.reason)
                case _:
                    self.happened[type(output).__name__] += 1

    def _keep(self, closed: CandlesClosed) -> None:
        """Those of the venue's streams; folded ones are judged elsewhere."""
        for candle in closed.candles:
            if (candle.symbol, candle.timeframe) not in self._known:
                continue
            opened = to_millis(closed.at) - slot_millis(candle.timeframe)
            figures = (candle.open, candle.high, candle.low, candle.close, candle.volume)
            self.candles[candle.symbol, candle.timeframe].append((opened, *map(float, figures)))

    async def _ask(self, ask: Ask) -> None:
        bars = ask.bars
        try:
            found = await self._feed.bars(bars.symbol, bars.timeframe, bars.first, bars.last)
        except FeedDown as down:
            self._give(Unanswered(ask.venue, bars, str(down), from_millis(self._now)))
        else:
            self.happened["bars by REST"] += len(found)
            self._give(Answered(ask.venue, bars, tuple(found), from_millis(self._now)))

    # -- time -----------------------------------------------------------------------------------------

    async def keep_time(self) -> None:
        """Until cancelled: where nothing is told, time passes as the venue says."""
        while True:
            before = self._frames
            await asyncio.sleep(_IDLE_SECONDS)
            if self._frames == before:
                with suppress(FeedDown):
                    told, _ = await self._feed.server_time()
                    self.pass_time(to_millis(told))

    def pass_time(self, until: int) -> None:
        self._now = max(self._now, until)
        self._give(TimePassed(from_millis(self._now)))
