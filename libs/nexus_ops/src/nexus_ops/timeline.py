"""When a played market may matter next: at marked instants, at due times, or when a bar leaves its band."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nexus_common.contracts.limits import GuardSettings
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_data.playback import PlayedMarket
from nexus_market.candles import Millis, to_millis
from nexus_market.quiet import Band, Quiet
from nexus_shield.domain.black_swan import possible_falls
from nexus_shield.domain.market_view import FALL_TIMEFRAMES, REFERENCE

FIRST_LOOK = 64


class Timeline:
    """Instants are named by their index in the market's `instants`."""

    def __init__(self, market: PlayedMarket, guard: GuardSettings, judged: Millis) -> None:
        """`judged` are the closes at which cortex may say something."""
        self.keys = tuple((market.venue_of(symbol), symbol) for symbol in market.symbols)
        self._instants = market.instants
        self._bars = {key: _Extremes(market, key[1]) for key in self.keys}
        falls = [_falls(market, symbol, guard) for venue, symbol in self.keys if venue.is_crypto]
        marked = np.unique(np.concatenate([market.irregular(), judged, *falls]))
        self._marked: list[int] = np.unique(np.searchsorted(self._instants, marked)).tolist()

    def following(self, index: int, quiet: Quiet | None) -> int:
        """The next instant that may matter after one; the number of instants when none does."""
        if quiet is None:
            return index + 1
        position = bisect_right(self._marked, index)
        found = self._marked[position] if position < len(self._marked) else len(self._instants)
        if quiet.until is not None:
            due = int(np.searchsorted(self._instants, to_millis(quiet.until)))
            found = min(found, max(due, index + 1))
        for key, band in quiet.bands.items():
            if band[0] >= band[1]:
                return index + 1
            found = self._bars[key].first_beyond(band, index + 1, found)
        return found


class _Extremes:
    """The lows and highs of one symbol's base bars, and where its rows stand among the instants."""

    def __init__(self, market: PlayedMarket, symbol: Symbol) -> None:
        series = market.series(symbol)
        self._low, self._high = series.low, series.high
        self._index = np.searchsorted(market.instants, series.close_time)
        self._has_every_instant = len(self._index) == len(market.instants)

    def first_beyond(self, band: Band, start: int, end: int) -> int:
        """The first instant from `start` on whose bar touches an edge of the band or lies outside; or `end`."""
        row, last = self._row(start), self._row(end)
        look = FIRST_LOOK
        while row < last:
            until = min(row + look, last)
            outside = (self._low[row:until] <= band[0]) | (self._high[row:until] >= band[1])
            first = int(outside.argmax())
            if outside[first]:
                return int(self._index[row + first])
            row, look = until, look * 4
        return end

    def _row(self, index: int) -> int:
        return index if self._has_every_instant else int(np.searchsorted(self._index, index))


def closes_of(market: PlayedMarket, timeframes: Iterable[Timeframe]) -> Millis:
    """Every close of any symbol on any of these timeframes."""
    held = [
        market.series(symbol, timeframe).close_time
        for timeframe in timeframes
        for symbol in market.symbols
        if timeframe in market.timeframes_of(symbol)
    ]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *held]))


def _falls(market: PlayedMarket, symbol: Symbol, guard: GuardSettings) -> NDArray[np.int64]:
    """The closes at which shield may find that the reference market fell."""
    series = market.series(symbol)
    if symbol != REFERENCE or series.timeframe not in FALL_TIMEFRAMES:
        return np.zeros(0, dtype=np.int64)
    whole = market.warm_series(symbol).followed_by(series)
    held = possible_falls(whole.high, whole.low, whole.timeframe, guard)
    closes: NDArray[np.int64] = whole.close_time[held]
    return closes[closes > to_millis(market.start)]
