"""A whole market to play: its candles, what happens inside its bars, and orders matched at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from heapq import merge
from operator import itemgetter
from typing import Any

from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.market import Candle
from nexus_common.contracts.values import Symbol, Timeframe, Venue, format_decimal
from nexus_data.market_feed import Step
from nexus_data.playback import PlayedMarket
from nexus_market.candles import Ohlcv, Series, slot_millis, to_millis
from nexus_market.exchange.wire import encode_step
from nexus_simvenue.market.happenings import Happening
from nexus_simvenue.market.inside import (
    LEAST_TOUCHES,
    Forming,
    Touch,
    closed_kline,
    mark_of,
    print_of,
    top_of,
    touches_of,
)
from nexus_simvenue.market.player import Moment, Settlements

Match = Callable[[Venue, dict[str, Any]], None]
# What Binance charges in a market without a premium.
_USUAL_FUNDING = "0.0001"


class MarketScore:
    """A `PlayedMarket`; `match` has a venue's engine work on a step (the parameters of the method `step`).

    At `speed` something happens about once a second of the clock on the wall; without one, four times a bar.
    """

    def __init__(self, market: PlayedMarket, speed: float | None, match: Match) -> None:
        self.start, self.end = market.start, market.end
        self._market = market
        self._speed = speed
        self._match = match
        self._venues = sorted({market.venue_of(symbol) for symbol in market.symbols})
        self._settled: dict[Symbol, list[tuple[int, Decimal]]] = {symbol: [] for symbol in market.symbols}

    def series(self) -> Mapping[Venue, Mapping[tuple[Symbol, Timeframe], Series]]:
        known: dict[Venue, dict[tuple[Symbol, Timeframe], Series]] = {venue: {} for venue in self._venues}
        for symbol in self._market.symbols:
            for timeframe in self._market.timeframes_of(symbol):
                before = self._market.warm_series(symbol, timeframe)
                whole = before.followed_by(self._market.series(symbol, timeframe))
                known[self._market.venue_of(symbol)][symbol, timeframe] = whole
        return known

    def funding(self, venue: Venue) -> Settlements:
        """What has been settled; grows as the market is played."""
        return {
            symbol: due for symbol, due in self._settled.items() if self._market.venue_of(symbol) is venue
        }

    def readings(self) -> Sequence[MacroRead]:
        return (*self._market.macro_before(), *self._market.readings.values())

    def moments(self) -> Iterator[Moment]:
        """What ends at an instant comes before what begins at it."""
        inside = (self._inside(symbol) for symbol in self._market.symbols)
        return merge(self._steps(), *inside, key=itemgetter(0))

    # -- steps --------------------------------------------------------------------------------------

    def _steps(self) -> Iterator[Moment]:
        for step in self._market.steps():
            at = to_millis(step.at)
            for symbol, rate in step.funding.items():
                self._settled[symbol].append((at, rate))
            told = [
                (closed.venue, candle.symbol, self._closed(candle, at))
                for closed in step.closed
                for candle in closed.candles
            ]
            yield Moment(at, told, partial(self._work, step))

    def _closed(self, candle: Candle, at: int) -> Happening:
        bars = slot_millis(candle.timeframe) // slot_millis(self._market.base_of(candle.symbol))
        return closed_kline(candle.timeframe, at, Ohlcv(*candle[2:]), bars * self._touches(candle.symbol))

    def _work(self, step: Step) -> None:
        for venue in self._venues:
            here = partial(_here, self._market, venue)
            self._match(
                venue, encode_step(step.at, here(step.bars), here(step.next_bars), here(step.funding))
            )

    # -- inside of bars -----------------------------------------------------------------------------

    def _touches(self, symbol: Symbol) -> int:
        """How many a bar has."""
        seconds = self._market.base_of(symbol).seconds
        if self._speed is None:
            return LEAST_TOUCHES
        return min(seconds, max(LEAST_TOUCHES, int(seconds / self._speed)))

    def _inside(self, symbol: Symbol) -> Iterator[Moment]:
        market = self._market
        venue, base = market.venue_of(symbol), market.series(symbol)
        slot, count = slot_millis(market.base_of(symbol)), self._touches(symbol)
        forming = [self._begun(symbol, timeframe) for timeframe in market.timeframes_of(symbol)]
        number = 0
        for row, open_time in enumerate(base.open_time.tolist()):
            for touch in touches_of(base.bar(row), open_time, slot, count):
                number += 1
                told = [(venue, symbol, each) for each in self._happen(symbol, touch, number, forming)]
                yield Moment(touch.at, told)

    def _happen(
        self, symbol: Symbol, touch: Touch, number: int, forming: Sequence[Forming]
    ) -> Iterator[Happening]:
        if touch.quantity:
            yield print_of(touch, number)
        yield top_of(touch, number)
        if self._market.venue_of(symbol).is_crypto:
            settled = self._settled[symbol]
            yield mark_of(touch, format_decimal(settled[-1][1]) if settled else _USUAL_FUNDING)
        for candle in forming:
            candle.add(touch)
            yield candle.kline(touch.at)

    def _begun(self, symbol: Symbol, timeframe: Timeframe) -> Forming:
        """The candle that is open at the start, with the bars before it that are its own."""
        forming = Forming(timeframe)
        before = self._market.warm_series(symbol)
        since = to_millis(self.start) // slot_millis(timeframe) * slot_millis(timeframe)
        first = before.count_closed_by(since)
        times = before.open_time[first:].tolist()
        for open_time, bar in zip(times, before.bars(first, len(before)), strict=True):
            forming.take(open_time, bar)
        return forming


def _here(market: PlayedMarket, venue: Venue, figures: Mapping[Symbol, Any]) -> dict[Symbol, Any]:
    return {symbol: each for symbol, each in figures.items() if market.venue_of(symbol) is venue}


class Together:
    """Several scores at once, each at venues of its own: one market at two of them, say.

    Raises:
        ValueError: two of them play at the same venue.
    """

    def __init__(self, scores: Sequence[MarketScore]) -> None:
        self._scores = tuple(scores)
        self.start: datetime = min(score.start for score in scores)
        self.end: datetime = max(score.end for score in scores)

    def series(self) -> Mapping[Venue, Mapping[tuple[Symbol, Timeframe], Series]]:
        known: dict[Venue, Mapping[tuple[Symbol, Timeframe], Series]] = {}
        for score in self._scores:
            for venue, series in score.series().items():
                if venue in known:
                    raise ValueError(f"two markets would be played at {venue}: give each venues of its own")
                known[venue] = series
        return known

    def funding(self, venue: Venue) -> Settlements:
        return {symbol: due for score in self._scores for symbol, due in score.funding(venue).items()}

    def readings(self) -> Sequence[MacroRead]:
        return self._scores[0].readings()

    def moments(self) -> Iterator[Moment]:
        return merge(*(score.moments() for score in self._scores), key=itemgetter(0))
