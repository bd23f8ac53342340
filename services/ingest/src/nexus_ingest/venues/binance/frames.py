"""What a frame of Binance's USDT-M streams says.

Source: Binance documentation, USDⓈ-M Futures, WebSocket Market Streams. `<symbol>@trade` is not described
there; it is each trade by itself, as recorded. Of what the streams offer, those four kinds are read; order book
depth, tickers, aggregated trades and liquidations are unknown kinds here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

import msgspec

from nexus_common.contracts.values import Side, Symbol, Timeframe
from nexus_ingest.domain.readings import BookRead, KlineRead, MarkRead, Reading, TradeRead, UnreadableFrame
from nexus_ingest.venues.feed import RawFrame
from nexus_ingest.venues.texts import (
    UNDECODABLE,
    UNKNOWN_SYMBOL,
    check_prices,
    check_quantity,
    check_span,
    check_time,
    check_volume,
    optional_price,
    rate,
    unreadable,
)

# A trade that is none: numbers are used up by them, prices and quantities are 0.
_NO_TRADE: Final = "NA"


class _Message(msgspec.Struct, tag_field="e", gc=False): ...


class _Trade(_Message, tag="trade"):
    symbol: str = msgspec.field(name="s")
    number: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    quantity: str = msgspec.field(name="q")
    at: int = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    kind: str = msgspec.field(name="X", default="")


class _Top(_Message, tag="bookTicker"):
    symbol: str = msgspec.field(name="s")
    bid: str = msgspec.field(name="b")
    bid_quantity: str = msgspec.field(name="B")
    ask: str = msgspec.field(name="a")
    ask_quantity: str = msgspec.field(name="A")
    at: int = msgspec.field(name="T")


class _Mark(_Message, tag="markPriceUpdate"):
    """Contracts that expire have an empty rate, due at 0."""

    symbol: str = msgspec.field(name="s")
    mark_price: str = msgspec.field(name="p")
    index_price: str = msgspec.field(name="i")
    funding_rate: str = msgspec.field(name="r")
    next_funding: int = msgspec.field(name="T")
    at: int = msgspec.field(name="E")


class _Candle(msgspec.Struct, gc=False):
    open_time: int = msgspec.field(name="t")
    timeframe: Timeframe = msgspec.field(name="i")
    open: str = msgspec.field(name="o")
    high: str = msgspec.field(name="h")
    low: str = msgspec.field(name="l")
    close: str = msgspec.field(name="c")
    volume: str = msgspec.field(name="v")
    closed: bool = msgspec.field(name="x")


class _Kline(_Message, tag="kline"):
    symbol: str = msgspec.field(name="s")
    at: int = msgspec.field(name="E")
    candle: _Candle = msgspec.field(name="k")


_Kind = _Trade | _Top | _Mark | _Kline


class _Combined(msgspec.Struct, gc=False):
    """The envelope of `/stream`."""

    data: _Kind


class _Shape(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw()


_COMBINED: Final = msgspec.json.Decoder(_Combined)
_PLAIN: Final = msgspec.json.Decoder(_Kind)
_SHAPE: Final = msgspec.json.Decoder(_Shape)


class BinanceTalk:
    """A connection whose address names its streams: nothing is asked for, and WebSocket's pings suffice.

    `symbols` gives our names by the venue's.
    """

    def __init__(self, symbols: Mapping[str, Symbol]) -> None:
        self._symbols = symbols
        self.refused: list[str] = []

    @property
    def subscribed(self) -> bool:
        return True

    def opening(self) -> Sequence[RawFrame]:
        return ()

    def answers(self) -> Sequence[RawFrame]:
        return ()

    def memory(self) -> object:
        return None

    def ping(self) -> RawFrame | None:
        return None

    def hear(self, frame: RawFrame) -> Sequence[Reading]:
        try:
            message = _COMBINED.decode(frame).data
        except UNDECODABLE:
            message = _plain(frame)
        return self._reading(message)

    def _reading(self, message: _Kind) -> Sequence[Reading]:
        symbol = self._symbols.get(message.symbol)
        if symbol is None:
            raise UnreadableFrame(UNKNOWN_SYMBOL)
        check_time(message.at)
        match message:
            case _Trade():
                return () if message.kind == _NO_TRADE else (_trade(symbol, message),)
            case _Top():
                return (_top(symbol, message),)
            case _Mark():
                return (_mark(symbol, message),)
            case _Kline():
                return (_kline(symbol, message),)
            case _:
                assert_never(message)


def _plain(frame: RawFrame) -> _Kind:
    """A message without envelope, or else what is wrong with the one in it."""
    try:
        data = _SHAPE.decode(frame).data
        message: _Kind = _PLAIN.decode(data or frame)
    except UNDECODABLE as error:
        raise unreadable(error) from None
    return message


def _trade(symbol: Symbol, trade: _Trade) -> TradeRead:
    check_prices(trade.price)
    check_quantity(trade.quantity)
    taker = Side.SELL if trade.buyer_is_maker else Side.BUY
    return TradeRead(symbol, trade.price, trade.quantity, taker, str(trade.number), trade.at)


def _top(symbol: Symbol, top: _Top) -> BookRead:
    check_prices(top.bid, top.ask)
    check_quantity(top.bid_quantity)
    check_quantity(top.ask_quantity)
    return BookRead(symbol, top.bid, top.bid_quantity, top.ask, top.ask_quantity, top.at)


def _mark(symbol: Symbol, mark: _Mark) -> MarkRead:
    check_prices(mark.mark_price)
    index_price, funding_rate = optional_price(mark.index_price), rate(mark.funding_rate)
    due = mark.next_funding if mark.next_funding > 0 else None
    return MarkRead(symbol, mark.mark_price, index_price, funding_rate, due, mark.at)


def _kline(symbol: Symbol, kline: _Kline) -> KlineRead:
    candle = kline.candle
    check_span(candle.open_time, candle.timeframe)
    check_prices(candle.open, candle.high, candle.low, candle.close)
    check_volume(candle.volume)
    return KlineRead(
        symbol,
        candle.timeframe,
        candle.open_time,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.closed,
        kline.at,
    )
