"""What happens in one instrument's market, before any venue words it.

Figures are the texts in which the source gives them (`Decimal(repr(float))`, plain digits), so that a client
reads exactly what a file holds. Times are milliseconds since the Unix epoch. Symbols are ours.
"""

from __future__ import annotations

from typing import NamedTuple

from nexus_common.contracts.values import Side, Timeframe


class Print(NamedTuple):
    """A public trade; `number` rises by one within a symbol."""

    price: str
    quantity: str
    taker: Side
    number: int
    at: int


class Top(NamedTuple):
    """Best bid and ask; `number` rises within a symbol."""

    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str
    number: int
    at: int


class Mark(NamedTuple):
    mark_price: str
    index_price: str
    funding_rate: str
    next_funding: int
    at: int


class Kline(NamedTuple):
    """A candle as it stands at `at`, or as it closed."""

    timeframe: Timeframe
    open_time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    trades: int
    closed: bool
    at: int


class Halt(NamedTuple):
    """Trading stopped or resumed (a stock exchange's status; codes as the venue's tape spells them)."""

    halted: bool
    code: str
    reason: str
    at: int


Happening = Print | Top | Mark | Kline | Halt
