"""What of skipped instants is remembered, told to those who remember it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.market import Candle
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.ports import Reactor
from nexus_cortex.handlers import CortexReactor
from nexus_data.playback import PlayedMarket
from nexus_market.candles import EPOCH, Series, from_millis, slot_millis, spell
from nexus_market.exchange import Exchange
from nexus_shield.domain.market_view import Bar15
from nexus_shield.handlers import ShieldReactor

NOBODY: Final = UUID(int=0)


class CatchUp:
    """Brings views up to date before the step that follows skipped ones.

    Shield keeps 15m bars and their age in market events; the newest price of an instrument comes with the
    step itself, unless it has no bar then. The reference market's bars are never skipped where they can
    matter. Cortex has judged all candles beforehand; one that has not hears those that it was not there for.
    """

    def __init__(
        self,
        market: PlayedMarket,
        shield: ShieldReactor,
        executor: Reactor,
        cortex: CortexReactor,
        exchanges: Mapping[Venue, Exchange],
    ) -> None:
        self._market = market
        self._instants = market.instants
        self._shield = shield
        self._executor = executor
        self._exchanges = exchanges
        self._venues = tuple(dict.fromkeys(market.venue_of(symbol) for symbol in market.symbols))
        self._tracks = [_Track(market, symbol) for symbol in market.symbols]
        self._has = {venue: _instants_of(market, venue) for venue in self._venues}
        events = np.sum([has.astype(np.int64) for has in self._has.values()], axis=0)
        self._events_before = np.concatenate([[0], np.cumsum(events)])
        self._cortex = cortex if cortex.judged_closes is None else None

    def pass_over(self, first: int, end: int) -> None:
        """The instants from index `first` up to, not including, `end` are skipped; the step at `end` follows."""
        self._tell_shield(first, end)
        if not all(track.has_bar_at(end) for track in self._tracks):
            self._tell_last_bars(first, end)
        if self._cortex is not None:
            self._tell_cortex(self._cortex, first, end)

    def _tell_shield(self, first: int, end: int) -> None:
        bars = [
            ((track.venue, track.symbol), at, Bar15(self._rank(track.venue, index, first), *prices))
            for track in self._tracks
            for index, at, prices in track.bars15(first, end)
        ]
        self._shield.pass_over(self._count(first, end), bars)

    def _count(self, first: int, end: int) -> int:
        return int(self._events_before[end] - self._events_before[first])

    def _rank(self, venue: Venue, index: int, first: int) -> int:
        """The number, from 1, of a venue's event at an instant among the skipped market events."""
        earlier = self._venues[: self._venues.index(venue)]
        return self._count(first, index) + sum(bool(self._has[each][index]) for each in earlier) + 1

    def _tell_last_bars(self, first: int, end: int) -> None:
        """Instruments without a bar at the next step stand where their last skipped bar left them."""
        for venue in self._venues:
            here = [track for track in self._tracks if track.venue is venue and not track.has_bar_at(end)]
            rows = {track: row for track in here if (row := track.last_row(first, end)) is not None}
            if not rows:
                continue
            at = from_millis(int(self._instants[end - 1]))
            self._exchanges[venue].step(
                at, {track.symbol: track.base.bar(row) for track, row in rows.items()}
            )
            for track, row in rows.items():
                index = int(track.index[row])
                age = self._count(first, end) - self._rank(venue, index, first)
                self._shield.note_close(venue, track.candle(row), track.closed_at(row), age)
        for venue, has in self._has.items():
            closing = np.flatnonzero(has[first:end])
            if len(closing) and not has[end]:
                for closed in self._market.step_at(first + int(closing[-1])).closed:
                    if closed.venue is venue:
                        self._executor.observe(_envelope(closed))

    def _tell_cortex(self, cortex: CortexReactor, first: int, end: int) -> None:
        for index in range(first, end):
            step = self._market.step_at(index)
            for event in (*(() if step.macro is None else (step.macro,)), *step.closed):
                cortex.observe(_envelope(event))


class _Track:
    """One symbol's bars among the instants."""

    def __init__(self, market: PlayedMarket, symbol: Symbol) -> None:
        self.symbol, self.venue = symbol, market.venue_of(symbol)
        self.base = market.series(symbol)
        self.index = np.searchsorted(market.instants, self.base.close_time)
        self._main: Series | None = None
        if Timeframe.M15 in market.timeframes_of(symbol):
            self._main = market.series(symbol, Timeframe.M15)
            self._main_index = np.searchsorted(market.instants, self._main.close_time)

    def bars15(
        self, first: int, end: int
    ) -> Iterator[tuple[int, datetime, tuple[Decimal, Decimal, Decimal]]]:
        """The 15m bars that close at skipped instants: where, when, and high, low, close."""
        main = self._main
        if main is None:
            return
        low, high = np.searchsorted(self._main_index, [first, end])
        for row in range(low, high):
            prices = spell(main.high.item(row)), spell(main.low.item(row)), spell(main.close.item(row))
            yield int(self._main_index[row]), _closed_at(main, row), prices

    def candle(self, row: int) -> Candle:
        return Candle(self.symbol, self.base.timeframe, *self.base.bar(row))

    def closed_at(self, row: int) -> datetime:
        return _closed_at(self.base, row)

    def has_bar_at(self, index: int) -> bool:
        row = int(np.searchsorted(self.index, index))
        return row < len(self.index) and bool(self.index[row] == index)

    def last_row(self, first: int, end: int) -> int | None:
        """The last bar that closed at a skipped instant."""
        row = int(np.searchsorted(self.index, end)) - 1
        return row if row >= 0 and self.index[row] >= first else None


def _closed_at(series: Series, row: int) -> datetime:
    return from_millis(series.open_time.item(row) + slot_millis(series.timeframe))


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
