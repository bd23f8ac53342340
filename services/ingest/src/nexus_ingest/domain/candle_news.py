"""What is told of one series of candles, and how a hole in it is worded."""

from __future__ import annotations

from typing import NamedTuple

from nexus_common.contracts.feed import GapFilled, GapFound
from nexus_common.contracts.market import Bar
from nexus_ingest.domain.watch_rules import Series
from nexus_ingest.domain.watching import AskBars
from nexus_market.candles import from_millis

REST = "rest"
STREAM = "stream"


class Corrected(NamedTuple):
    """The venue says something else about a bar that was passed."""

    was: Bar
    now: Bar
    source: str


class Unconfirmed(NamedTuple):
    """A closed candle of the stream had a doubtful price, and REST says something else; REST's is passed."""

    told: Bar
    confirmed: Bar


class Surplus(NamedTuple):
    """A bar of a slot that was passed over as never traded: too late to come in order."""

    bar: Bar


# A Bar is the next candle of the series.
Told = Bar | AskBars | GapFound | GapFilled | Corrected | Unconfirmed | Surplus


def gap_found(series: Series, first: int, last: int) -> GapFound:
    """`first` and `last` are open times in milliseconds, both missing."""
    venue, symbol, timeframe = series
    return GapFound(
        venue=venue, symbol=symbol, timeframe=timeframe, first=from_millis(first), last=from_millis(last)
    )


def gap_filled(series: Series, first: int, last: int, bars: int) -> GapFilled:
    venue, symbol, timeframe = series
    return GapFilled(
        venue=venue,
        symbol=symbol,
        timeframe=timeframe,
        first=from_millis(first),
        last=from_millis(last),
        bars=bars,
        source=REST,
    )
