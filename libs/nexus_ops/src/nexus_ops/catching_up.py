"""What of skipped instants is remembered, told to those who remember it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.market import Candle, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.ports import Reactor
from nexus_cortex.handlers import CortexReactor
from nexus_ingest.domain.playback import PlayedMarket
from nexus_market.candles import EPOCH, Ohlcv, Series, from_millis, slot_millis
from nexus_market.exchange import Exchange
from nexus_shield.domain.market_view import FALL_TIMEFRAMES, REFERENCE
from nexus_shield.handlers import ShieldReactor

NOBODY: Final = UUID(int=0)
SLOT: Final = slot_millis(Timeframe.M15)

Told = dict[tuple[int, int], list[Candle]]


class CatchUp:
    """Brings views up to date before the step that follows skipped ones.

    Shield keeps the 15m bars, the reference market's last minutes and the age of both in market events; the
    newest price of an instrument comes with the step itself, unless it has no bar then. Nobody else keeps
    candles: cortex has either judged them beforehand or is never skipped when one of its own closes.
    """

    def __init__(
        self,
        market: PlayedMarket,
        shield: ShieldReactor,
        executor: Reactor,
        cortex: CortexReactor,
        exchanges: Mapping[Venue, Exchange],
        fall_seconds: int,
    ) -> None:
        """`fall_seconds`: how far back the sentinel looks."""
        self._market = market
        self._instants = market.instants
        self._shield = shield
        self._executor = executor
        self._exchanges = exchanges
        self._venues = tuple(dict.fromkeys(market.venue_of(symbol) for symbol in market.symbols))
        self._tracks = [_Track(market, symbol, self._venues, fall_seconds) for symbol in market.symbols]
        self._has = [_instants_of(market, venue) for venue in self._venues]
        events = sum((has.astype(np.int64) for has in self._has), np.zeros(len(self._instants), np.int64))
        self._events_before = np.concatenate([[0], np.cumsum(events)])
        self._cortex = cortex if cortex.judged_closes is None else None
        self._readings = sorted(market.readings) if self._cortex is not None else []

    def pass_over(self, first: int, end: int) -> None:
        """The instants from index `first` up to, not including, `end` are skipped."""
        told: Told = {}
        for track in self._tracks:
            track.tell(told, first, end)
        missing = [track for track in self._tracks if not track.has_bar_at(end)]
        if missing:
            self._tell_last_bars(told, missing, first, end)
        self._tell_shield(told, first, end)
        if self._readings:
            self._tell_macro(first, end)

    def _tell_last_bars(self, told: Told, missing: list[_Track], first: int, end: int) -> None:
        """Instruments without a bar at the next step stand where their last skipped bar left them."""
        bars: dict[Venue, dict[Symbol, Ohlcv]] = {}
        for track in missing:
            row = track.last_row_before(end)
            if row is not None and track.index[row] >= first:
                track.tell_base(told, row)
                bars.setdefault(track.venue, {})[track.symbol] = track.base.bar(row)
        at = from_millis(int(self._instants[end - 1]))
        for venue, here in bars.items():
            self._exchanges[venue].step(at, here)
        for number, venue in enumerate(self._venues):
            closing = np.flatnonzero(self._has[number][first:end])
            if len(closing) and not (end < len(self._instants) and self._has[number][end]):
                step = self._market.step_at(first + int(closing[-1]))
                for closed in step.closed:
                    if closed.venue is venue:
                        self._executor.observe(_envelope(closed))

    def _tell_shield(self, told: Told, first: int, end: int) -> None:
        heard = int(self._events_before[first])
        for index, number in sorted(told):
            rank = int(self._events_before[index]) + sum(bool(has[index]) for has in self._has[:number])
            if rank > heard:
                self._shield.pass_over(rank - heard)
            at = from_millis(int(self._instants[index]))
            closed = CandlesClosed.model_construct(
                venue=self._venues[number], partition=0, at=at, candles=tuple(told[index, number])
            )
            self._shield.observe(_envelope(closed))
            heard = rank + 1
        self._shield.pass_over(int(self._events_before[end]) - heard)

    def _tell_macro(self, first: int, end: int) -> None:
        assert self._cortex is not None, "there are readings to tell of"
        low, high = np.searchsorted(self._readings, [self._instants[first], self._instants[end - 1] + 1])
        for instant in self._readings[low:high]:
            self._cortex.observe(_envelope(self._market.readings[instant]))


class _Track:
    """One symbol's bars among the instants, and which of them shield remembers."""

    def __init__(
        self, market: PlayedMarket, symbol: Symbol, venues: tuple[Venue, ...], fall_seconds: int
    ) -> None:
        self.symbol, self.venue = symbol, market.venue_of(symbol)
        self.base = market.series(symbol)
        self.index = np.searchsorted(market.instants, self.base.close_time)
        self._number = venues.index(self.venue)
        self._window = fall_seconds * 1_000
        self._main: Series | None = None
        if Timeframe.M15 in market.timeframes_of(symbol):
            self._main = market.series(symbol, Timeframe.M15)
            self._main_index = np.searchsorted(market.instants, self._main.close_time)
        self._is_reference = (
            symbol == REFERENCE and self.venue.is_crypto and self.base.timeframe in FALL_TIMEFRAMES
        )

    def tell(self, told: Told, first: int, end: int) -> None:
        if self._is_reference:
            for row in self._reference_rows(first, end):
                self.tell_base(told, row)
        if self._main is not None and self._main is not self.base:
            low, high = np.searchsorted(self._main_index, [first, end])
            for row in range(low, high):
                self._tell(told, int(self._main_index[row]), self._main, row)
        elif self._main is not None:
            low, high = np.searchsorted(self.index, [first, end])
            for row in range(low, high):
                self.tell_base(told, row)

    def tell_base(self, told: Told, row: int) -> None:
        self._tell(told, int(self.index[row]), self.base, row)

    def _tell(self, told: Told, index: int, series: Series, row: int) -> None:
        candles = told.setdefault((index, self._number), [])
        candle = Candle(self.symbol, series.timeframe, *series.bar(row))
        if candle not in candles:
            candles.append(candle)

    def _reference_rows(self, first: int, end: int) -> list[int]:
        """The bars of the last minutes, and the one that its 15m candle began with."""
        low, high = (int(row) for row in np.searchsorted(self.index, [first, end]))
        if low == high:
            return []
        times = self.base.open_time
        opened = int(times[high - 1])
        since = opened - self._window
        recent = max(low, int(np.searchsorted(times, since)))
        begins = max(low, int(np.searchsorted(times, opened // SLOT * SLOT)))
        return [begins, *range(recent, high)] if begins < recent else list(range(recent, high))

    def has_bar_at(self, index: int) -> bool:
        row = int(np.searchsorted(self.index, index))
        return row < len(self.index) and bool(self.index[row] == index)

    def last_row_before(self, index: int) -> int | None:
        row = int(np.searchsorted(self.index, index)) - 1
        return row if row >= 0 else None


def _instants_of(market: PlayedMarket, venue: Venue) -> NDArray[np.bool_]:
    """For each instant whether a candle of this venue closes."""
    has = np.zeros(len(market.instants), dtype=np.bool_)
    for symbol in market.symbols:
        if market.venue_of(symbol) is venue:
            for timeframe in market.timeframes_of(symbol):
                has[np.searchsorted(market.instants, market.series(symbol, timeframe).close_time)] = True
    return has


def _envelope(event: Event) -> Envelope[Event]:
    return Envelope(event, NOBODY, "market-skipped", 1, NOBODY, NOBODY, None, EPOCH)
