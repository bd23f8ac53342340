"""Bars and how the coarser timeframes are folded from the base one: bar by bar, or a whole series at once.

Timeframes are cut on a grid since the Unix epoch. A bucket is complete when the time of its last base slot
has passed; it is made of the base bars there are, a missing one is never invented, and without any bar it
does not exist.

One number has one spelling: every figure of a bar is `Decimal(repr(x))` of a 64-bit float, so a series can
be kept as float arrays without loss. Volumes are added up in Decimal and the sum is then spelled the same
way; both ways of folding therefore give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_common.contracts.market import Candle
from nexus_common.contracts.values import Symbol, Timeframe

Floats = NDArray[np.float64]
Millis = NDArray[np.int64]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# Below the first, a decimal number and the float nearest to it name each other; below the second, an
# integer is exact as a float.
_DIGITS_KEPT = 1e15
_WHOLE_EXACT = 2**53


class Ohlcv(NamedTuple):
    """The figures of one bar; volume is in base units."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def spell(value: float) -> Decimal:
    """The one decimal spelling of a float: the shortest that reads back as the same float."""
    return Decimal(repr(value))


def to_millis(moment: datetime) -> int:
    return (moment - EPOCH) // _MILLISECOND


def from_millis(millis: int) -> datetime:
    return EPOCH + timedelta(milliseconds=millis)


def slot_millis(timeframe: Timeframe) -> int:
    return timeframe.seconds * 1_000


def timeframes_from(base: Timeframe) -> tuple[Timeframe, ...]:
    """The timeframes a base series gives, itself first, rising; each is a multiple of the one before."""
    return tuple(timeframe for timeframe in Timeframe if timeframe.seconds >= base.seconds)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Bars of one timeframe, oldest first: arrays of one length, `open_time` in ms since the epoch."""

    timeframe: Timeframe
    open_time: Millis
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.open_time)

    @property
    def close_time(self) -> Millis:
        return self.open_time + slot_millis(self.timeframe)

    def slice(self, first: int, last: int) -> Series:
        """The bars from index `first` up to, not including, `last`; copied, so that the rest can be freed."""
        return Series(
            self.timeframe,
            self.open_time[first:last].copy(),
            self.open[first:last].copy(),
            self.high[first:last].copy(),
            self.low[first:last].copy(),
            self.close[first:last].copy(),
            self.volume[first:last].copy(),
        )

    def count_closed_by(self, until: int) -> int:
        """How many bars had closed at an instant (milliseconds)."""
        return int(np.searchsorted(self.open_time, until - slot_millis(self.timeframe), side="right"))

    def followed_by(self, later: Series) -> Series:
        """These bars, then later ones."""
        columns = ("open_time", "open", "high", "low", "close", "volume")
        joined = (np.concatenate([getattr(self, name), getattr(later, name)]) for name in columns)
        return Series(self.timeframe, *joined)

    def bar(self, row: int) -> Ohlcv:
        """One bar, in decimals."""
        return Ohlcv(
            Decimal(repr(self.open.item(row))),
            Decimal(repr(self.high.item(row))),
            Decimal(repr(self.low.item(row))),
            Decimal(repr(self.close.item(row))),
            Decimal(repr(self.volume.item(row))),
        )

    def bars(self, first: int, last: int) -> list[Ohlcv]:
        """The bars from index `first` up to, not including, `last`, in decimals."""
        figures = (
            map(Decimal, map(repr, column[first:last].tolist()))
            for column in (self.open, self.high, self.low, self.close, self.volume)
        )
        return list(map(Ohlcv, *figures))


def fold(base: Series, timeframe: Timeframe, until: int) -> Series:
    """The bars of `timeframe` complete at `until` (milliseconds), from the base bars closed by then."""
    known = base.count_closed_by(until)
    if timeframe is base.timeframe:
        return base.slice(0, known)
    slot = slot_millis(timeframe)
    buckets = base.open_time[:known] // slot
    starts = np.flatnonzero(np.diff(buckets, prepend=-1))
    if len(starts) == 0:
        return replace(base.slice(0, 0), timeframe=timeframe)
    ends = np.append(starts[1:], known)
    folded = Series(
        timeframe,
        buckets[starts] * slot,
        base.open[starts],
        np.maximum.reduceat(base.high[:known], starts),
        np.minimum.reduceat(base.low[:known], starts),
        base.close[ends - 1],
        _sums(base.volume[:known], starts, ends),
    )
    return folded.slice(0, folded.count_closed_by(until))


def _sums(values: Floats, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Floats:
    """The exact sum of each stretch of values as written, as the nearest float."""
    scale, whole, unfit = _as_whole_numbers(values)
    sums = np.add.reduceat(whole, starts)
    inexact = np.logical_or.reduceat(unfit, starts) | (sums >= _WHOLE_EXACT)
    result: Floats = sums / scale
    for index in np.flatnonzero(inexact):
        stretch = values[starts[index] : ends[index]].tolist()
        result[index] = float(sum(map(spell, stretch), Decimal(0)))
    return result


def _as_whole_numbers(values: Floats) -> tuple[float, Millis, NDArray[np.bool_]]:
    """Values as integers of one scale, and which of them cannot be written so."""
    best: tuple[float, Millis, NDArray[np.bool_]] | None = None
    for decimals in range(9):
        scale = float(10**decimals)
        scaled = np.rint(values * scale)
        unfit = (scaled >= _DIGITS_KEPT) | (scaled / scale != values)
        if best is None or unfit.sum() < best[2].sum():
            best = (scale, np.where(unfit, 0.0, scaled).astype(np.int64), unfit)
        if not unfit.any():
            break
    assert best is not None
    return best


class _Bucket:
    """A candle that is still open."""

    __slots__ = ("close", "end", "high", "low", "open", "volume")

    def __init__(self, bar: Ohlcv, end: int) -> None:
        self.open, self.high, self.low, self.close, self.volume = bar
        self.end = end

    def add(self, bar: Ohlcv) -> None:
        if bar.high > self.high:
            self.high = bar.high
        if bar.low < self.low:
            self.low = bar.low
        self.close = bar.close
        self.volume += bar.volume

    def candle(self, symbol: Symbol, timeframe: Timeframe) -> Candle:
        volume = spell(float(self.volume))
        return Candle(symbol, timeframe, self.open, self.high, self.low, self.close, volume)


class CandleFolder:
    """Folds base bars as they close into the candles of every timeframe.

    `bases` names the base timeframe of each symbol; candles come in its order, timeframes rising. `close`
    wants to be called at every instant that `due` names as well, even if no base bar closed then: a candle
    ends by time.
    """

    def __init__(self, bases: Mapping[Symbol, Timeframe]) -> None:
        self._bases = dict(bases)
        self._open: dict[Symbol, dict[Timeframe, _Bucket]] = {symbol: {} for symbol in self._bases}
        self._slots = {
            base: tuple((timeframe, slot_millis(timeframe)) for timeframe in timeframes_from(base)[1:])
            for base in sorted(set(self._bases.values()))
        }

    def due(self) -> datetime | None:
        """The next instant at which an open candle ends."""
        ends = [bucket.end for buckets in self._open.values() for bucket in buckets.values()]
        return from_millis(min(ends)) if ends else None

    def close(self, at: datetime, bars: Mapping[Symbol, Ohlcv]) -> tuple[Candle, ...]:
        """The candles that close at `at`, given the base bars that do.

        Raises:
            ValueError: an unknown symbol, an instant off the base grid or past a candle's end not asked for.
        """
        now = to_millis(at)
        unknown = [symbol for symbol in bars if symbol not in self._bases]
        if unknown:
            raise ValueError(f"bars of {', '.join(unknown)}, which this folder was not made for")
        candles: list[Candle] = []
        for symbol, base in self._bases.items():
            bar = bars.get(symbol)
            if bar is not None:
                if now % slot_millis(base):
                    raise ValueError(f"no {base} bar of {symbol} can close at {at.isoformat()}")
                candles.append(Candle(symbol, base, *bar))
            self._fold(symbol, now, bar, candles)
        return tuple(candles)

    def _fold(self, symbol: Symbol, now: int, bar: Ohlcv | None, candles: list[Candle]) -> None:
        buckets = self._open[symbol]
        for timeframe, slot in self._slots[self._bases[symbol]]:
            bucket = buckets.get(timeframe)
            if bucket is not None and bucket.end < now:
                raise ValueError(
                    f"the {timeframe} candle of {symbol} ended at {from_millis(bucket.end).isoformat()}, "
                    f"but was not asked for before {from_millis(now).isoformat()}"
                )
            if bar is not None:
                if bucket is None:
                    # The instant ends the bar, so it belongs to the slot that ends now or later.
                    bucket = buckets[timeframe] = _Bucket(bar, -(-now // slot) * slot)
                else:
                    bucket.add(bar)
            if bucket is not None and bucket.end == now:
                candles.append(bucket.candle(symbol, timeframe))
                del buckets[timeframe]


def series_of(timeframe: Timeframe, open_times: Sequence[int], bars: Sequence[Ohlcv]) -> Series:
    """The arrays of bars given one by one."""
    columns = [np.array([float(bar[index]) for bar in bars], dtype=np.float64) for index in range(5)]
    return Series(timeframe, np.array(open_times, dtype=np.int64), *columns)
