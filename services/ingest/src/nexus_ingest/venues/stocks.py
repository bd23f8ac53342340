"""Readings of the US stock market from decoded numbers, whoever streams them, and what every figure must be."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from math import inf
from typing import Annotated, Final

from msgspec import Meta

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, format_decimal
from nexus_ingest.domain.readings import BookRead, KlineRead, UnreadableFrame
from nexus_ingest.venues.feed import FeedDown
from nexus_ingest.venues.texts import check_time
from nexus_market.candles import from_millis, slot_millis, spell, to_millis

_MINUTE: Final = slot_millis(Timeframe.M1)
Figure = int | float
Moment = Annotated[datetime, Meta(tz=True)]
"""A time as Alpaca writes it, to the nanosecond; decoding rounds it to microseconds."""


def price(figure: Figure) -> str:
    """Raises UnreadableFrame for what is no positive number, NaN and infinities included."""
    if not 0 < figure < inf:
        raise UnreadableFrame("a price is no positive number")
    return _digits(figure)


def quantity(figure: Figure) -> str:
    """Raises UnreadableFrame for what is no positive number."""
    if not 0 < figure < inf:
        raise UnreadableFrame("a quantity is no positive number")
    return _digits(figure)


def volume(figure: Figure) -> str:
    """Raises UnreadableFrame for what is negative or no number."""
    if not 0 <= figure < inf:
        raise UnreadableFrame("a volume is negative or no number")
    return _digits(figure)


def _digits(figure: Figure) -> str:
    """The shortest text that reads back as the same number, without an exponent."""
    text = repr(figure)
    return text if "e" not in text else format_decimal(Decimal(text))


def millis(stamp: int) -> int:
    """A Unix time that may be in milli-, micro- or nanoseconds, in milliseconds; raises UnreadableFrame."""
    while stamp >= 10**14:  # milliseconds have as many digits only in the year 5138
        stamp //= 1_000
    check_time(stamp)
    return stamp


def millis_of(moment: datetime) -> int:
    """Raises UnreadableFrame for a time before 1970."""
    stamp = to_millis(moment)
    check_time(stamp)
    return stamp


def book(
    symbol: Symbol, bid: Figure, bid_size: Figure, ask: Figure, ask_size: Figure, at: int
) -> BookRead | None:
    """None for a book that has one side only: the other one's price is 0."""
    if bid == 0 or ask == 0:
        return None
    return BookRead(symbol, price(bid), volume(bid_size), price(ask), volume(ask_size), at)


def minute(symbol: Symbol, open_time: int, prices: tuple[Figure, ...], traded: Figure) -> KlineRead:
    """A closed minute of open, high, low and close; streams of stocks have no open ones. `at` is its end."""
    if open_time % _MINUTE:
        raise UnreadableFrame("a candle is off the grid of its timeframe")
    opened, high, low, close = map(price, prices)
    ends = open_time + _MINUTE
    return KlineRead(symbol, Timeframe.M1, open_time, opened, high, low, close, volume(traded), True, ends)


def bar(timeframe: Timeframe, open_time: int, figures: tuple[Figure, ...]) -> Bar:
    """A bar of open, high, low, close and volume, as REST has it.

    Raises:
        FeedDown: it is off the grid of its timeframe, or a figure cannot be.
    """
    if open_time % slot_millis(timeframe):
        raise FeedDown(f"a {timeframe} bar opens at {from_millis(open_time)}, off its grid")
    try:
        *prices, traded = figures
        texts = [*map(price, prices), volume(traded)]
    except UnreadableFrame as error:
        raise FeedDown(f"a {timeframe} bar of {from_millis(open_time)}: {error}") from None
    return Bar(open_time, *(spell(float(text)) for text in texts))
