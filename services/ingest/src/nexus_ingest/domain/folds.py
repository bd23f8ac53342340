"""An instrument's 1m candles folded to higher timeframes: in place of the venue's own, or to check them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from nexus_common.contracts.feed import FoldDiffers
from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_market.candles import slot_millis, spell

_MINUTE = slot_millis(Timeframe.M1)
_MINUTES_KEPT = 300
_UNMATCHED_KEPT = 16
# Venues add up volumes as floats; the sum of up to 240 of them is good to this fraction.
VOLUME_TOLERANCE = Decimal("1e-9")

Folded = tuple[Timeframe, Bar]


def fold_bars(bars: Sequence[Bar], open_time: int) -> Bar:
    """The candle that the bars of one slot make, oldest first; at least one. As `nexus_market.candles.fold`."""
    return Bar(
        open_time,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        spell(float(sum((bar.volume for bar in bars), Decimal(0)))),
    )


def same_candle(folded: Bar, told: Bar) -> bool:
    """Prices exactly, volume within a billionth."""
    if folded[:5] != told[:5]:
        return False
    return abs(folded.volume - told.volume) <= VOLUME_TOLERANCE * max(folded.volume, told.volume)


class Folds:
    """Folds the minutes of one instrument as they are passed; a candle ends by time.

    A slot is folded when every minute of it was seen, or passed over as never traded; the first one, begun
    before the watch was, only if `remember` brought its earlier minutes.
    """

    def __init__(self, timeframes: Iterable[Timeframe]) -> None:
        self._slots = tuple((timeframe, slot_millis(timeframe)) for timeframe in timeframes)
        self._minutes: dict[int, Bar] = {}
        self._whole_from: int | None = None
        self._reached: int | None = None

    def begin(self, next_open: int) -> None:
        """Minutes are seen from this one on."""
        if self._reached is None:
            self._whole_from = self._reached = next_open

    def remember(self, first: int, bars: Iterable[Bar]) -> None:
        """All the minutes from `first` up to where the watch began."""
        if self._whole_from is None or first >= self._whole_from:
            return
        earlier = {bar.open_time: bar for bar in bars if bar.open_time < self._whole_from}
        self._minutes = {**earlier, **self._minutes}
        self._whole_from = first

    def add(self, bar: Bar) -> list[Folded]:
        """The next minute; tells the candles that it ends, and those that ended before it."""
        folded = self.pass_time(bar.open_time)
        self._minutes[bar.open_time] = bar
        return folded + self.pass_time(bar.open_time + _MINUTE)

    def pass_time(self, next_open: int) -> list[Folded]:
        """All minutes before `next_open` are known: the candles that ended by then, in order of time."""
        if self._reached is None or next_open <= self._reached:
            self.begin(next_open)
            return []
        ended = [
            (end, timeframe, slot)
            for timeframe, slot in self._slots
            for end in range((self._reached // slot + 1) * slot, next_open + 1, slot)
        ]
        self._reached = next_open
        folded = [
            (timeframe, bar)
            for end, timeframe, slot in sorted(ended, key=lambda each: (each[0], each[2]))
            if (bar := self._fold(end - slot, slot)) is not None
        ]
        self._forget(next_open)
        return folded

    def correct(self, bar: Bar) -> list[Folded]:
        """A minute says something else: the ended candles that it was part of, as they are now."""
        if bar.open_time not in self._minutes or self._reached is None:
            return []
        self._minutes[bar.open_time] = bar
        return [
            (timeframe, folded)
            for timeframe, slot in self._slots
            if bar.open_time // slot * slot + slot <= self._reached
            and (folded := self._fold(bar.open_time // slot * slot, slot)) is not None
        ]

    def _fold(self, open_time: int, slot: int) -> Bar | None:
        if self._whole_from is None or open_time < self._whole_from:
            return None
        slots = range(open_time, open_time + slot, _MINUTE)
        bars = [self._minutes[minute] for minute in slots if minute in self._minutes]
        return fold_bars(bars, open_time) if bars else None

    def _forget(self, next_open: int) -> None:
        if len(self._minutes) > 2 * _MINUTES_KEPT:
            kept_from = next_open - _MINUTES_KEPT * _MINUTE
            self._minutes = {at: bar for at, bar in self._minutes.items() if at >= kept_from}
            # A correction of a forgotten slot must not be folded from half its minutes.
            self._whole_from = max(self._whole_from or 0, kept_from)


class FoldCheck:
    """Compares what an instrument's minutes fold to with what the venue says, whichever comes first."""

    def __init__(self, venue: Venue, symbol: Symbol) -> None:
        self._venue = venue
        self._symbol = symbol
        self._folded: dict[tuple[Timeframe, int], Bar] = {}
        self._told: dict[tuple[Timeframe, int], Bar] = {}

    def fold(self, timeframe: Timeframe, bar: Bar) -> FoldDiffers | None:
        told = self._told.pop((timeframe, bar.open_time), None)
        if told is None:
            _keep(self._folded, (timeframe, bar.open_time), bar)
            return None
        return self._compared(timeframe, bar, told)

    def tell(self, timeframe: Timeframe, bar: Bar) -> FoldDiffers | None:
        folded = self._folded.pop((timeframe, bar.open_time), None)
        if folded is None:
            _keep(self._told, (timeframe, bar.open_time), bar)
            return None
        return self._compared(timeframe, folded, bar)

    def _compared(self, timeframe: Timeframe, folded: Bar, told: Bar) -> FoldDiffers | None:
        if same_candle(folded, told):
            return None
        return FoldDiffers(
            venue=self._venue, symbol=self._symbol, timeframe=timeframe, folded=folded, told=told
        )


def _keep(bars: dict[tuple[Timeframe, int], Bar], key: tuple[Timeframe, int], bar: Bar) -> None:
    bars[key] = bar
    if len(bars) > _UNMATCHED_KEPT:
        del bars[next(iter(bars))]
