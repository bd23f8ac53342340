"""What happens inside a bar that only its figures are known of: prices on the way, volumes, candles that form.

A bar is walked from its open to the nearer extreme, to the other one and to its close, so every price of it is
reached and none beyond. Quantities add up to the bar's volume exactly. Nothing here knows a clock or chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from nexus_common.contracts.values import Side, Timeframe, format_decimal
from nexus_market.candles import Ohlcv, Series, slot_millis
from nexus_simvenue.market.happenings import Kline, Mark, Print, Top

LEAST_TOUCHES = 4
CHUNK = 4_096
_FUNDING_EVERY = 8 * 3_600_000


class Touch(NamedTuple):
    """A price the market was at, and how much was traded there (0 in a bar without volume)."""

    at: int
    price: Decimal
    quantity: Decimal
    taker: Side
    tick: Decimal


def touches_of(bar: Ohlcv, open_time: int, slot: int, count: int) -> list[Touch]:
    """`count` (at least four) touches from `open_time` on, evenly spaced over `slot` milliseconds."""
    count = max(count, LEAST_TOUCHES)
    price_scale, (opened, high, low, close) = _whole(bar.open, bar.high, bar.low, bar.close)
    near, far = (high, low) if high - opened <= opened - low else (low, high)
    prices = _walk((opened, near, far, close), count)
    volume_scale, quantities = _shares(bar.volume, count)
    touches = []
    before = prices[0]
    for number, (price, quantity) in enumerate(zip(prices, quantities, strict=True)):
        taker = Side.BUY if price >= before else Side.SELL
        at = open_time + slot * number // count
        touches.append(Touch(at, price * price_scale, quantity * volume_scale, taker, price_scale))
        before = price
    return touches


def _whole(*figures: Decimal) -> tuple[Decimal, tuple[int, ...]]:
    """The coarsest decimal step that all figures are whole multiples of, and how many of it each is."""
    exponent = min(0, *(_exponent(figure) for figure in figures))
    step = Decimal(1).scaleb(exponent)
    return step, tuple(int(figure.scaleb(-exponent)) for figure in figures)


def _exponent(figure: Decimal) -> int:
    exponent = figure.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"a bar cannot hold {figure}")
    return exponent


def _walk(corners: tuple[int, int, int, int], count: int) -> list[int]:
    """Whole prices along the corners; each corner is one of them."""
    legs = [0, (count - 1) // 3, 2 * (count - 1) // 3, count - 1]
    prices = [corners[0]]
    for leg in range(3):
        steps = legs[leg + 1] - legs[leg]
        begin, end = corners[leg], corners[leg + 1]
        prices += [begin + (end - begin) * step // steps for step in range(1, steps + 1)]
    return prices


def _shares(volume: Decimal, count: int) -> tuple[Decimal, list[int]]:
    """`volume` in `count` parts above zero that add up to it; none is above zero where there is no volume."""
    step, (whole,) = _whole(volume)
    while 0 < whole < count:
        step, whole = step / 10, whole * 10
    each, rest = divmod(whole, count)
    return step, [each] * (count - 1) + [each + rest]


def print_of(touch: Touch, number: int) -> Print:
    return Print(format_decimal(touch.price), format_decimal(touch.quantity), touch.taker, number, touch.at)


def top_of(touch: Touch, number: int) -> Top:
    """A book one tick wide whose taken side is at the touch."""
    bought = touch.taker is Side.BUY
    bid = touch.price - touch.tick if bought else touch.price
    if bid <= 0:
        bid = touch.price / 2
    ask = touch.price if bought else touch.price + touch.tick
    quantity = format_decimal(touch.quantity) if touch.quantity else "1"
    return Top(format_decimal(bid), quantity, format_decimal(ask), quantity, number, touch.at)


def mark_of(touch: Touch, funding_rate: str) -> Mark:
    """Mark and index at the touch; funding falls due on the 8 h grid."""
    price = format_decimal(touch.price)
    return Mark(price, price, funding_rate, (touch.at // _FUNDING_EVERY + 1) * _FUNDING_EVERY, touch.at)


class Forming:
    """The candle of one timeframe that touches make."""

    __slots__ = ("_slot", "close", "high", "low", "open", "open_time", "timeframe", "trades", "volume")

    def __init__(self, timeframe: Timeframe) -> None:
        self.timeframe = timeframe
        self._slot = slot_millis(timeframe)
        self.open_time = -1
        self.open = self.high = self.low = self.close = self.volume = Decimal(0)
        self.trades = 0

    def take(self, open_time: int, bar: Ohlcv) -> None:
        """A whole bar, of this timeframe or a finer one; what is behind the candle's end opens the next one."""
        self._reach(open_time, bar.open)
        self.high, self.low = max(self.high, bar.high), min(self.low, bar.low)
        self.close = bar.close
        self.volume += bar.volume

    def _reach(self, at: int, price: Decimal) -> None:
        bucket = at - at % self._slot
        if bucket != self.open_time:
            self.open_time = bucket
            self.open = self.high = self.low = price
            self.volume, self.trades = Decimal(0), 0

    def add(self, touch: Touch) -> None:
        """A touch behind the candle's end opens the next one."""
        self._reach(touch.at, touch.price)
        self.high, self.low = max(self.high, touch.price), min(self.low, touch.price)
        self.close = touch.price
        self.volume += touch.quantity
        self.trades += 1 if touch.quantity else 0

    def kline(self, at: int) -> Kline:
        opened, high, low, close, volume = map(
            format_decimal, (self.open, self.high, self.low, self.close, self.volume)
        )
        timeframe, open_time, trades = self.timeframe, self.open_time, self.trades
        return Kline(timeframe, open_time, opened, high, low, close, volume, trades, False, at)


def closed_kline(timeframe: Timeframe, closed_at: int, bar: Ohlcv, trades: int) -> Kline:
    """The bar as it closed, figure by figure."""
    opened, high, low, close, volume = map(format_decimal, bar)
    open_time = closed_at - slot_millis(timeframe)
    return Kline(timeframe, open_time, opened, high, low, close, volume, trades, True, closed_at)


def klines_of(series: Series) -> Iterator[Kline]:
    """Each bar of a series as it was seen: after its open, behind both extremes, and closed.

    After the last one the candle behind it is seen as it opens, so that whoever is told no closing flag knows
    that the last one has closed.
    """
    timeframe, slot = series.timeframe, slot_millis(series.timeframe)
    for first in range(0, len(series), CHUNK):
        times = series.open_time[first : first + CHUNK].tolist()
        columns = (
            map(_plain, column[first : first + CHUNK].tolist())
            for column in (series.open, series.high, series.low, series.close)
        )
        volumes = series.volume[first : first + CHUNK].tolist()
        for time, opened, high, low, close, volume in zip(times, *columns, volumes, strict=True):
            some = _plain(volume / 4)
            yield Kline(timeframe, time, opened, opened, opened, opened, some, 1, False, time + slot // 4)
            more = _plain(volume / 2)
            last = high if close == low else low
            yield Kline(timeframe, time, opened, high, low, last, more, 2, False, time + slot // 2)
            yield Kline(timeframe, time, opened, high, low, close, _plain(volume), 4, True, time + slot)
    if len(series):
        price, behind = _plain(series.close.item(-1)), int(series.close_time[-1])
        yield Kline(timeframe, behind, price, price, price, price, "0", 0, False, behind + slot // 4)


def _plain(value: float) -> str:
    """`format_decimal(spell(value))`, mostly without the detour."""
    text = repr(value)
    return format_decimal(Decimal(text)) if "e" in text else text
