"""Prices on the bus: transport only, never stored among the events. Owner: ingest.

A message carries what one venue's instrument said within some milliseconds, in order. Trades are never left
out; a book top or a mark that is replaced before it leaves is.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from nexus_common.contracts.values import Side, Symbol, Venue


class TradeTick(NamedTuple):
    """`at` is the venue's time, ms since the Unix epoch; figures as the venue spelled them."""

    price: str
    quantity: str
    taker: Side | None
    number: str
    at: int


class BookTick(NamedTuple):
    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str
    at: int


class MarkTick(NamedTuple):
    mark_price: str
    index_price: str | None
    funding_rate: str | None
    next_funding: int | None
    at: int


class TickBatch(msgspec.Struct, frozen=True, array_like=True):
    """`received` is when the oldest of them came, ms since the Unix epoch."""

    venue: Venue
    symbol: Symbol
    received: int
    trades: tuple[TradeTick, ...] = ()
    book: BookTick | None = None
    mark: MarkTick | None = None


class PriceAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What a venue says by REST of an instrument right now, asked over the bus; or `problem`: why it says nothing.

    `at` is the time of the last trade, ms since the Unix epoch; figures as the venue spelled them.
    """

    price: str = ""
    mark_price: str | None = None
    at: int = 0
    problem: str = ""
