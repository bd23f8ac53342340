"""What shield remembers of the markets: last closes, 15m bars, the reference market's falls.

Everything here is a function of the last `recall` market events alone: what an older event said is forgotten.
A restarted process that hears those events again therefore knows exactly what one that never stopped knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

from nexus_common.contracts.guard import DeclareFall
from nexus_common.contracts.ids import candle_id
from nexus_common.contracts.limits import GuardSettings
from nexus_common.contracts.market import (
    Bar,
    Candle,
    CandleCorrected,
    CandlesBackfilled,
    CandlesClosed,
    MarketEvent,
)
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_shield.domain.black_swan import FallBar, FallReading, FallWatch, read_fall
from nexus_shield.domain.correlation import RETURNS, Closes, correlation

REFERENCE = Symbol("BTCUSDT")
NO_BARS = FallWatch()
FALL_TIMEFRAMES = (Timeframe.M1, Timeframe.M5)
KEPT_BARS = 2 * RETURNS
ATR_PERIOD = 14
ATR_STEP = Decimal("0.00000001")
MILLISECOND = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[Venue, Symbol]


class Close(NamedTuple):
    """A last known price: heard in market event `number`, the close of a bar of `timeframe` at `at`."""

    number: int
    at: datetime
    price: Decimal
    timeframe: Timeframe


class Bar15(NamedTuple):
    number: int
    high: Decimal
    low: Decimal
    close: Decimal


@dataclass(frozen=True, slots=True)
class Fall:
    """A fall that a bar showed, with the cause it is."""

    cause: UUID
    venue: Venue
    at: datetime
    reading: FallReading

    def declaration(self, settings: GuardSettings) -> DeclareFall:
        return DeclareFall(
            venue=self.venue,
            symbol=REFERENCE,
            black_swan=self.reading.black_swan,
            amber=self.reading.amber,
            settings=settings,
            at=self.at,
        )


@dataclass(slots=True)
class MarketView:
    """Fold of the market category, kept in place for speed. `recall` counts market events of every kind."""

    recall: int
    guard: GuardSettings
    _number: int = 0
    _closes: dict[Key, Close] = field(default_factory=dict)
    _bars: dict[Key, dict[datetime, Bar15]] = field(default_factory=dict)
    _watches: dict[Venue, FallWatch] = field(default_factory=dict)
    _falls: dict[UUID, Fall] = field(default_factory=dict)
    _compared: dict[tuple[Venue, Symbol, Symbol], Decimal | None] = field(default_factory=dict)
    _closes15: dict[Key, Closes] = field(default_factory=dict)
    _compared_at: int = 0

    def observe(self, event: MarketEvent, event_id: UUID) -> None:
        self._number += 1
        match event:
            case CandlesClosed():
                for candle in event.candles:
                    self._take(event.venue, candle, event.at)
                if event.venue.is_crypto:
                    self._watch(event, event_id)
            case CandlesBackfilled():
                self._backfill(event)
            case CandleCorrected():
                self._correct(event)
            case _:
                pass  # funding, hours and halts say nothing about prices that the bars do not

    def pass_over(self, count: int, bars: Iterable[tuple[Key, datetime, Bar15]] = ()) -> None:
        """Count events that need not be heard, and keep their 15m bars, numbered from 1 among them.

        Prices and the reference market's falls are left as they are: whoever passes events over sees to it
        that those are heard again before they matter.
        """
        for key, at, bar in bars:
            self._keep(key, at, bar._replace(number=self._number + bar.number))
        self._number += count

    def note_close(self, venue: Venue, candle: Candle, at: datetime, age: int) -> None:
        """The last price among events passed over, `age` events ago."""
        self._closes[venue, candle.symbol] = Close(self._number - age, at, candle.close, candle.timeframe)

    def _take(self, venue: Venue, candle: Candle, at: datetime) -> None:
        key = (venue, candle.symbol)
        known = self._closes.get(key)
        if (
            known is None
            or at > known.at
            or (at == known.at and candle.timeframe.seconds < known.timeframe.seconds)
        ):
            self._closes[key] = Close(self._number, at, candle.close, candle.timeframe)
        if candle.timeframe is Timeframe.M15:
            self._keep(key, at, Bar15(self._number, candle.high, candle.low, candle.close))

    def _keep(self, key: Key, at: datetime, bar: Bar15) -> None:
        bars = self._bars.setdefault(key, {})
        bars[at] = bar
        if len(bars) > KEPT_BARS:
            del bars[min(bars)]

    def _correct(self, event: CandleCorrected) -> None:
        """What the venue says now of a bar that is kept; as old as it was."""
        if event.timeframe is Timeframe.M15:
            at = EPOCH + event.now.open_time * MILLISECOND + event.timeframe.duration
            kept = self._bars.get((event.venue, event.symbol), {})
            if at in kept:
                now = event.now
                kept[at] = kept[at]._replace(high=now.high, low=now.low, close=now.close)

    def _backfill(self, event: CandlesBackfilled) -> None:
        key = (event.venue, event.symbol)
        for bar in event.bars[-KEPT_BARS:]:
            at = EPOCH + bar.open_time * MILLISECOND + event.timeframe.duration
            if event.timeframe is Timeframe.M15:
                self._keep(key, at, Bar15(self._number, bar.high, bar.low, bar.close))
            known = self._closes.get(key)
            if known is None or at > known.at:
                self._closes[key] = Close(self._number, at, bar.close, event.timeframe)
            if event.symbol == REFERENCE and event.timeframe is Timeframe.M1 and event.venue.is_crypto:
                self._fold_fall(event.venue, fall_bar(bar, at, event.timeframe))

    def _watch(self, event: CandlesClosed, event_id: UUID) -> None:
        """Read the reference market's finest bar of this instant, if it is fine enough."""
        finest = min(
            (c for c in event.candles if c.symbol == REFERENCE and c.timeframe in FALL_TIMEFRAMES),
            key=lambda candle: candle.timeframe.seconds,
            default=None,
        )
        if finest is None:
            return
        reading = self._fold_fall(event.venue, fall_bar(finest, event.at, finest.timeframe))
        if reading is not None and not event.late:
            opened = finest.open_time(event.at)
            cause = candle_id(event.venue, REFERENCE, finest.timeframe, opened)
            self._falls[event_id] = Fall(cause, event.venue, event.at, reading)

    def _fold_fall(self, venue: Venue, bar: FallBar) -> FallReading | None:
        watch, reading = read_fall(self._watches.get(venue, NO_BARS), bar, self.guard)
        self._watches[venue] = watch
        return reading

    def fall_watch(self, venue: Venue) -> FallWatch:
        """What is remembered of the reference market's bars there."""
        return self._watches.get(venue, NO_BARS)

    @property
    def number(self) -> int:
        """How many market events were heard: nothing is known anew while it stays the same."""
        return self._number

    @property
    def shows_fall(self) -> bool:
        return bool(self._falls)

    def take_fall(self, event_id: UUID) -> Fall | None:
        """What the market event with this id showed of a fall; asked once."""
        return self._falls.pop(event_id, None)

    def forget_falls(self) -> None:
        """Falls of events that nobody asked about belong to turns long taken."""
        self._falls.clear()

    def close(self, venue: Venue, symbol: Symbol) -> Close | None:
        known = self._closes.get((venue, symbol))
        return None if known is None or self._is_forgotten(known.number) else known

    def alike(self, venue: Venue, one: Symbol, other: Symbol) -> Decimal | None:
        """The correlation of two instruments' 15m returns; the same for every account that asks at this instant."""
        if self._compared_at != self._number:
            self._compared.clear()
            self._closes15.clear()
            self._compared_at = self._number
        pair = (venue, one, other) if one < other else (venue, other, one)
        if pair not in self._compared:
            self._compared[pair] = correlation(self._series(venue, one), self._series(venue, other))
        return self._compared[pair]

    def _series(self, venue: Venue, symbol: Symbol) -> Closes:
        """The closes of the last 15m bars by their close times."""
        key = (venue, symbol)
        if key not in self._closes15:
            bars = self._bars15(venue, symbol)
            self._closes15[key] = Closes({at: float(bar.close) for at, bar in bars})
        return self._closes15[key]

    def atr(self, venue: Venue, symbol: Symbol) -> Decimal | None:
        """Wilder's average true range of 14 over the last 51 bars of 15m; None while there are too few."""
        bars = [bar for _, bar in sorted(self._bars15(venue, symbol))][-(RETURNS + 1) :]
        ranges = [max(bar.high, before.close) - min(bar.low, before.close) for before, bar in pairwise(bars)]
        if len(ranges) < ATR_PERIOD:
            return None
        average = sum(ranges[:ATR_PERIOD], Decimal(0)) / ATR_PERIOD
        for true_range in ranges[ATR_PERIOD:]:
            average = (average * (ATR_PERIOD - 1) + true_range) / ATR_PERIOD
        return average.quantize(ATR_STEP) or None

    def _bars15(self, venue: Venue, symbol: Symbol) -> Iterator[tuple[datetime, Bar15]]:
        forgotten = self._number - self.recall
        for at, bar in self._bars.get((venue, symbol), {}).items():
            if bar.number > forgotten:
                yield at, bar

    def _is_forgotten(self, number: int) -> bool:
        return number <= self._number - self.recall


def fall_bar(bar: Candle | Bar, closed: datetime, timeframe: Timeframe) -> FallBar:
    return FallBar(closed - timeframe.duration, closed, bar.open, bar.high, bar.low, bar.close)
