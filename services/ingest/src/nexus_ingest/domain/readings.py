"""What a venue's frame says, whichever venue it is: figures as the venue spelled them, symbols as we spell them.

Times are the venue's own, in milliseconds since the Unix epoch. A reader of frames checks that figures are
finite numbers of the right sign; whether a price can be true is for `prices` to judge.
"""

from __future__ import annotations

from typing import NamedTuple

from nexus_common.contracts.values import Side, Symbol, Timeframe


class TradeRead(NamedTuple):
    """One public trade. `number` is the venue's id, rising within a symbol where the venue's are."""

    symbol: Symbol
    price: str
    quantity: str
    taker: Side | None
    number: str
    at: int


class BookRead(NamedTuple):
    """Best bid and ask. Newer ones replace older ones."""

    symbol: Symbol
    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str
    at: int


class MarkRead(NamedTuple):
    """Mark price, with the rate of the funding that is due at `next_funding`."""

    symbol: Symbol
    mark_price: str
    index_price: str | None
    funding_rate: str | None
    next_funding: int | None
    at: int


class KlineRead(NamedTuple):
    """A candle as it stands at `at`. Only a `closed` one is a candle; a closed one told again corrects it."""

    symbol: Symbol
    timeframe: Timeframe
    open_time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    closed: bool
    at: int


class HaltRead(NamedTuple):
    """The venue stopped, or resumed, trading in an instrument."""

    symbol: Symbol
    halted: bool
    code: str
    reason: str
    at: int


Reading = TradeRead | BookRead | MarkRead | KlineRead | HaltRead


class UnreadableFrame(ValueError):
    """A frame that cannot be used; the message is the reason under which it is counted, without figures."""
