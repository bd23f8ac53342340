"""The last closed bars and the prices they give; a price that is too old is no price."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from nexus_common.contracts.market import Candle, CandlesClosed
from nexus_common.contracts.values import Symbol, Timeframe, Venue

_QUARTER: Final = Timeframe.M15.duration
_QUARTERS_KEPT: Final = 15
# A bar that was heard again after a start is not news; the finest bars come a minute apart.
_NEWS_AGE: Final = timedelta(minutes=1)

Key = tuple[Venue, Symbol]


class ClosedBar(NamedTuple):
    """A bar with the time at which it closed."""

    candle: Candle
    at: datetime

    @property
    def opened(self) -> datetime:
        return self.candle.open_time(self.at)


class Bars:
    """The newest bar of each instrument, those of the last quarter hours, and what is new in a turn.

    At a live venue the bars of one instant come in several events. Late ones give prices and ranges; nothing is
    decided on them.
    """

    def __init__(self) -> None:
        self._newest: dict[Key, ClosedBar] = {}
        self._quarters: dict[Key, deque[ClosedBar]] = {}
        self._newest_quarter: dict[Venue, datetime] = {}
        self._heard: dict[Key, ClosedBar] = {}
        self._news: dict[Key, ClosedBar] = {}
        self._turn: datetime | None = None

    def take(self, closed: CandlesClosed) -> None:
        for candle in closed.candles:
            key, bar = (closed.venue, candle.symbol), ClosedBar(candle, closed.at)
            if _is_newer(bar, self._newest.get(key)):
                self._newest[key] = bar
            if not closed.late and _is_newer(bar, self._heard.get(key)):
                self._heard[key] = bar
            if candle.timeframe is Timeframe.M15:
                self._take_quarter(key, bar)

    def _take_quarter(self, key: Key, bar: ClosedBar) -> None:
        kept = self._quarters.setdefault(key, deque(maxlen=_QUARTERS_KEPT))
        if not kept or bar.at > kept[-1].at:
            kept.append(bar)
            self._newest_quarter[key[0]] = max(bar.at, self._newest_quarter.get(key[0], bar.at))

    def begin(self, at: datetime) -> None:
        """A turn of this instant begins: what was heard since the turns of the one before is news in it."""
        if at != self._turn:
            self._turn, self._news = at, {}
        self._news.update(self._heard)
        self._heard.clear()

    def closed_now(self, venue: Venue, symbol: Symbol) -> ClosedBar | None:
        """The finest bar of an instrument that is news in this turn."""
        bar = self._news.get((venue, symbol))
        if bar is None or self._turn is None or self._turn - bar.at >= _NEWS_AGE:
            return None
        return bar

    def price(self, venue: Venue, symbol: Symbol, at: datetime, age: timedelta) -> Decimal | None:
        """The newest close; None when even that is older than `age`."""
        newest = self._newest.get((venue, symbol))
        return None if newest is None or at - newest.at > age else newest.candle.close

    def mean_true_range(self, venue: Venue, symbol: Symbol, count: int) -> Decimal | None:
        """Of the last closed 15m bars, up to `count` of them; None when none was seen."""
        kept = self._quarters.get((venue, symbol))
        if not kept:
            return None
        oldest = self._newest_quarter[venue] - _QUARTERS_KEPT * _QUARTER
        bars = [bar.candle for bar in kept if bar.at > oldest]
        ranges = [_true_range(bar, before) for before, bar in zip([None, *bars], bars, strict=False)]
        latest = ranges[-count:]
        return sum(latest, Decimal(0)) / len(latest) if latest else None


def _is_newer(bar: ClosedBar, known: ClosedBar | None) -> bool:
    """Later, or finer where both closed together."""
    if known is None or bar.at > known.at:
        return True
    return bar.at == known.at and bar.candle.timeframe.seconds < known.candle.timeframe.seconds


def _true_range(bar: Candle, before: Candle | None) -> Decimal:
    if before is None:
        return bar.high - bar.low
    return max(bar.high, before.close) - min(bar.low, before.close)
