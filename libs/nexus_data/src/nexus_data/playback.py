"""Plays base series as a market: folds them once, then merges what closes at each instant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import numpy as np

from nexus_common.contracts.feed import GapFound
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.market import Bar, Candle, CandlesBackfilled, CandlesClosed
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_data.market_feed import BACKFILL_BARS, WARMUP_BARS, Step
from nexus_market.candles import (
    Millis,
    Ohlcv,
    Series,
    fold,
    from_millis,
    slot_millis,
    timeframes_from,
    to_millis,
)

CHUNK = 512


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument's base series: the bars before the market begins and those inside it."""

    symbol: Symbol
    venue: Venue
    source: str
    series: Series


class _Play:
    """The series of one symbol, all timeframes, cut into warm-up and play."""

    def __init__(self, listing: Listing, start: int, end: int) -> None:
        self.symbol, self.venue, self.source = listing.symbol, listing.venue, listing.source
        self.base = listing.series.timeframe
        self.warm: dict[Timeframe, Series] = {}
        self.live: dict[Timeframe, Series] = {}
        for timeframe in timeframes_from(self.base):
            folded = fold(listing.series, timeframe, end)
            split = folded.count_closed_by(start)
            self.warm[timeframe] = folded.slice(max(0, split - WARMUP_BARS), split)
            self.live[timeframe] = folded.slice(split, len(folded))

    def gaps(self) -> list[tuple[int, GapFound]]:
        """Holes between bars of the play, with the instant at which the first bar behind each closes."""
        if not self.venue.is_crypto:
            # A stock that is not traded, at night or in a quiet minute, has no bar and misses none.
            return []
        slot = slot_millis(self.base)
        opens = self.live[self.base].open_time
        before = self.warm[self.base].open_time[-1:]
        joined = np.concatenate([before, opens])
        found = []
        for index in np.flatnonzero(np.diff(joined) > slot):
            first, resumed = int(joined[index]) + slot, int(joined[index + 1])
            gap = GapFound(
                venue=self.venue,
                symbol=self.symbol,
                timeframe=self.base,
                first=from_millis(first),
                last=from_millis(resumed - slot),
            )
            found.append((resumed + slot, gap))
        return found


class _Cursor:
    """Reads one series in order of time, turning it into decimals a chunk at a time."""

    __slots__ = ("_bars", "_closes", "_index", "_next_row", "_series", "_slot")

    def __init__(self, series: Series, after: int) -> None:
        self._series = series
        self._slot = slot_millis(series.timeframe)
        self._next_row = series.count_closed_by(after)
        self._bars: list[Ohlcv] = []
        self._closes: list[int] = []
        self._index = 0
        self._refill()

    def take(self, closed_at: int) -> Ohlcv | None:
        """The bar that closed at an instant, if there is one; move behind it."""
        if self._index == len(self._closes) or self._closes[self._index] != closed_at:
            return None
        bar = self._bars[self._index]
        self._index += 1
        if self._index == len(self._closes):
            self._refill()
        return bar

    def opening(self, at: int) -> Ohlcv | None:
        """The bar that opens at an instant, if it is the next one."""
        if self._index == len(self._closes) or self._closes[self._index] != at + self._slot:
            return None
        return self._bars[self._index]

    def _refill(self) -> None:
        first, last = self._next_row, min(self._next_row + CHUNK, len(self._series))
        self._bars = self._series.bars(first, last)
        self._closes = self._series.close_time[first:last].tolist()
        self._index, self._next_row = 0, last


class _Reader(Protocol):
    """The bars of one series."""

    def take(self, closed_at: int) -> Ohlcv | None:
        """The bar that closed at an instant, if there is one."""

    def opening(self, at: int) -> Ohlcv | None:
        """The bar that opens at an instant, if there is one."""


class _Lookup:
    """Reads single bars of one series, wherever they stand; asked as a `_Cursor` is."""

    __slots__ = ("_series", "_slot")

    def __init__(self, series: Series) -> None:
        self._series = series
        self._slot = slot_millis(series.timeframe)

    def take(self, closed_at: int) -> Ohlcv | None:
        return self.opening(closed_at - self._slot)

    def opening(self, at: int) -> Ohlcv | None:
        times = self._series.open_time
        if not len(times):
            return None
        # Without holes the row follows from the time.
        row = (at - int(times[0])) // self._slot
        if not (0 <= row < len(times) and times[row] == at):
            row = int(np.searchsorted(times, at))
            if row == len(times) or times[row] != at:
                return None
        return self._series.bar(row)


class PlayedMarket:
    """A `Market` over base series.

    `funding` gives for each symbol the due times (ms) and rates, `macro` the readings in order of `known_at`.
    `listings` may be lazy: one at a time is folded, and what is not needed of it let go.
    """

    def __init__(
        self,
        listings: Iterable[Listing],
        start: datetime,
        end: datetime,
        *,
        notes: Sequence[str] = (),
        funding: Mapping[Symbol, Sequence[tuple[int, Decimal]]] | None = None,
        macro: Sequence[MacroRead] = (),
    ) -> None:
        self.start, self.end = start, end
        self._start, self._end = to_millis(start), to_millis(end)
        self._plays = [_Play(listing, self._start, self._end) for listing in listings]
        self.symbols = tuple(play.symbol for play in self._plays)
        self.sources = {play.symbol: play.source for play in self._plays}
        self.notes = tuple(notes)
        self._by_symbol = {play.symbol: play for play in self._plays}
        self._venues = tuple(dict.fromkeys(play.venue for play in self._plays))
        self._instants = self._all_instants()
        self._lookups: list[_Track] | None = None
        self._gaps = self._gaps_by_instant()
        self._funding = self._funding_by_instant(funding or {})
        self._macro_before = tuple(reading for reading in macro if reading.known_at <= start)
        self._macro = self._macro_by_instant([reading for reading in macro if start < reading.known_at])

    def venue_of(self, symbol: Symbol) -> Venue:
        return self._by_symbol[symbol].venue

    def base_of(self, symbol: Symbol) -> Timeframe:
        return self._by_symbol[symbol].base

    def macro_before(self) -> tuple[MacroRead, ...]:
        return self._macro_before

    def warmup(self) -> Iterator[CandlesBackfilled]:
        for play in self._plays:
            for timeframe, series in play.warm.items():
                times = series.open_time.tolist()
                for first in range(0, len(series), BACKFILL_BARS):
                    rows = series.bars(first, first + BACKFILL_BARS)
                    yield CandlesBackfilled(
                        venue=play.venue,
                        symbol=play.symbol,
                        timeframe=timeframe,
                        source=play.source,
                        bars=tuple(Bar(time, *row) for time, row in zip(times[first:], rows, strict=False)),
                    )

    def steps(self) -> Iterator[Step]:
        return self.steps_after(self.start)

    def steps_after(self, at: datetime) -> Iterator[Step]:
        after = max(to_millis(at), self._start)
        tracks = [self._track(play, lambda series: _Cursor(series, after)) for play in self._plays]
        first = int(np.searchsorted(self._instants, after, side="right"))
        for chunk in range(first, len(self._instants), CHUNK):
            for now in self._instants[chunk : chunk + CHUNK].tolist():
                yield self._step(now, tracks)

    # -- the whole market at hand, for whoever need not go through it step by step -------------------

    @property
    def instants(self) -> Millis:
        """The times of all steps, in milliseconds."""
        return self._instants

    @property
    def readings(self) -> Mapping[int, MacroRead]:
        """The macro reading that each instant brings, if any."""
        return self._macro

    def series(self, symbol: Symbol, timeframe: Timeframe | None = None) -> Series:
        """The bars that are played, of the base timeframe unless another is named."""
        play = self._by_symbol[symbol]
        return play.live[timeframe or play.base]

    def warm_series(self, symbol: Symbol, timeframe: Timeframe | None = None) -> Series:
        """The bars that `warmup` hands out."""
        play = self._by_symbol[symbol]
        return play.warm[timeframe or play.base]

    def timeframes_of(self, symbol: Symbol) -> tuple[Timeframe, ...]:
        return tuple(self._by_symbol[symbol].live)

    def irregular(self) -> Millis:
        """Instants that bring more than bars: funding, a gap, a candle that ends without a bar of its base."""
        found = [np.array(sorted({*self._funding, *self._gaps}), dtype=np.int64)]
        for play in self._plays:
            closes = play.live[play.base].close_time
            found += [np.setdiff1d(series.close_time, closes) for series in play.live.values()]
        return np.unique(np.concatenate(found))

    def step_at(self, index: int) -> Step:
        """The step of one of `instants`, just as `steps` gives it."""
        if self._lookups is None:
            self._lookups = [self._track(play, _Lookup) for play in self._plays]
        return self._step(int(self._instants[index]), self._lookups)

    def _track(self, play: _Play, read: Callable[[Series], _Reader]) -> _Track:
        cursors = [
            (timeframe, slot_millis(timeframe), read(series)) for timeframe, series in play.live.items()
        ]
        return _Track(play.symbol, play.venue, cursors[0][2], tuple(cursors))

    def _step(self, now: int, tracks: Sequence[_Track]) -> Step:
        at = from_millis(now)
        candles: dict[Venue, list[Candle]] = {venue: [] for venue in self._venues}
        bars: dict[Symbol, Ohlcv] = {}
        next_bars: dict[Symbol, Ohlcv] = {}
        for track in tracks:
            closing = candles[track.venue]
            for timeframe, slot, cursor in track.cursors:
                # Each timeframe is a multiple of the one before: off one grid is off all that follow.
                if now % slot:
                    break
                bar = cursor.take(now)
                if bar is not None:
                    closing.append(Candle(track.symbol, timeframe, *bar))
                    if cursor is track.base:
                        bars[track.symbol] = bar
            opening = track.base.opening(now)
            if opening is not None:
                next_bars[track.symbol] = opening
        closed = tuple(
            CandlesClosed(venue=venue, partition=0, at=at, candles=tuple(closing))
            for venue, closing in candles.items()
            if closing
        )
        return Step(
            at,
            closed,
            bars,
            next_bars,
            self._funding.get(now, {}),
            self._macro.get(now),
            tuple(self._gaps.get(now, ())),
        )

    def _all_instants(self) -> Millis:
        closes = [series.close_time for play in self._plays for series in play.live.values()]
        return np.unique(np.concatenate(closes)) if closes else np.array([], dtype=np.int64)

    def _instant_for(self, due: int) -> int | None:
        """The first step at or after an instant inside the market."""
        index = int(np.searchsorted(self._instants, due, side="left"))
        return int(self._instants[index]) if due > self._start and index < len(self._instants) else None

    def _gaps_by_instant(self) -> dict[int, list[GapFound]]:
        found: dict[int, list[GapFound]] = {}
        for play in self._plays:
            for instant, gap in play.gaps():
                found.setdefault(instant, []).append(gap)
        return found

    def _funding_by_instant(
        self, funding: Mapping[Symbol, Sequence[tuple[int, Decimal]]]
    ) -> dict[int, dict[Symbol, Decimal]]:
        found: dict[int, dict[Symbol, Decimal]] = {}
        for symbol in self.symbols:
            for due, rate in funding.get(symbol, ()):
                instant = self._instant_for(due)
                if instant is not None:
                    # Settlements inside a hole of the whole market fall due together behind it.
                    rates = found.setdefault(instant, {})
                    rates[symbol] = rates.get(symbol, Decimal(0)) + rate
        return found

    def _macro_by_instant(self, readings: Sequence[MacroRead]) -> dict[int, MacroRead]:
        found: dict[int, MacroRead] = {}
        for reading in readings:
            instant = self._instant_for(to_millis(reading.known_at))
            if instant is not None:
                found[instant] = reading
        return found


@dataclass(frozen=True, slots=True)
class _Track:
    """Where the play of one symbol stands; the first cursor is the base's."""

    symbol: Symbol
    venue: Venue
    base: _Reader
    cursors: tuple[tuple[Timeframe, int, _Reader], ...]
