"""What a frame of Bybit's public V5 stream for linear perpetuals says.

Source: Bybit V5 documentation, WebSocket Stream: Connect, Trade, Orderbook, Ticker, Kline. Books and tickers
come as a snapshot and what changed since, so the frames of a connection are read in order by one talk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import orjson

from nexus_common.contracts.values import Side, Symbol, Timeframe
from nexus_ingest.domain.readings import KlineRead, Reading, TradeRead, UnreadableFrame
from nexus_ingest.venues.bybit.state import BookChange, BookTop, KnownTop, Mark, TickerChange
from nexus_ingest.venues.feed import RawFrame
from nexus_ingest.venues.texts import (
    UNDECODABLE,
    UNKNOWN_KIND,
    UNKNOWN_SYMBOL,
    check_prices,
    check_quantity,
    check_span,
    check_time,
    check_volume,
    unreadable,
)

INTERVALS: Final[Mapping[Timeframe, str]] = {
    Timeframe.M1: "1",
    Timeframe.M5: "5",
    Timeframe.M15: "15",
    Timeframe.H1: "60",
    Timeframe.H4: "240",
}
_PING: Final = '{"op":"ping"}'
_SNAPSHOT: Final = "snapshot"


class _Push(msgspec.Struct, gc=False):
    """A message of a topic, or an answer (which has an `op` instead)."""

    topic: str = ""
    type: str = ""
    ts: int = 0
    matched_at: int = msgspec.field(name="cts", default=0)
    data: msgspec.Raw = msgspec.Raw()
    op: str = ""
    success: bool = True


class _Trade(msgspec.Struct, gc=False):
    at: int = msgspec.field(name="T")
    taker: str = msgspec.field(name="S")
    quantity: str = msgspec.field(name="v")
    price: str = msgspec.field(name="p")
    number: str = msgspec.field(name="i")


class _Candle(msgspec.Struct, gc=False):
    start: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    confirm: bool
    timestamp: int


class _Memory(msgspec.Struct):
    """None stands for a book of which nothing was told yet."""

    tops: dict[Symbol, KnownTop | None]
    marks: dict[Symbol, TickerChange]


_PUSH: Final = msgspec.json.Decoder(_Push)
_TRADES: Final = msgspec.json.Decoder(list[_Trade])
_CANDLES: Final = msgspec.json.Decoder(list[_Candle])
_BOOK: Final = msgspec.json.Decoder(BookChange)
_TICKER: Final = msgspec.json.Decoder(TickerChange)
_SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}


class BybitTalk:
    """A connection and the topics it asks for, by the venue's name of each instrument.

    One request an instrument: the venue refuses a request as a whole when it does not know one of its topics.
    """

    def __init__(
        self, symbols: Mapping[str, Symbol], topics: Mapping[str, Sequence[str]], memory: object = None
    ) -> None:
        """`memory` is that of the talk that is continued. Raises ValueError where it is none."""
        self.refused: list[str] = []
        self._symbols = symbols
        self._topics = topics
        self._unanswered = len(topics)
        self._tops = {symbol: BookTop() for symbol in symbols.values()}
        self._marks = {symbol: Mark() for symbol in symbols.values()}
        self._kinds: dict[str, Callable[[Symbol, _Push], Sequence[Reading]]] = {
            "publicTrade": self._trades,
            "orderbook.1": self._top,
            "tickers": self._mark,
            **{f"kline.{interval}": _klines(timeframe) for timeframe, interval in INTERVALS.items()},
        }
        if memory is not None:
            self._recall(msgspec.convert(memory, _Memory))

    @property
    def subscribed(self) -> bool:
        return self._unanswered <= 0

    def opening(self) -> Sequence[RawFrame]:
        return [
            orjson.dumps({"op": "subscribe", "req_id": name, "args": list(topics)}).decode()
            for name, topics in self._topics.items()
        ]

    def answers(self) -> Sequence[RawFrame]:
        return ()

    def memory(self) -> object:
        """Books and tickers as they stand."""
        tops = {symbol: top.known() for symbol, top in self._tops.items()}
        marks = {symbol: mark.known() for symbol, mark in self._marks.items()}
        return msgspec.to_builtins(_Memory(tops, marks))

    def _recall(self, memory: _Memory) -> None:
        for symbol, top in memory.tops.items():
            self._tops[symbol] = BookTop(top)
        for symbol, ticker in memory.marks.items():
            self._marks[symbol] = Mark(ticker)

    def ping(self) -> RawFrame | None:
        return _PING

    def hear(self, frame: RawFrame) -> Sequence[Reading]:
        try:
            push = _PUSH.decode(frame)
            if push.op:
                return self._answered(push)
            return self._said(push)
        except UNDECODABLE as error:
            raise unreadable(error) from None

    def _said(self, push: _Push) -> Sequence[Reading]:
        kind, _, name = push.topic.rpartition(".")
        read = self._kinds.get(kind)
        if read is None:
            raise UnreadableFrame(UNKNOWN_KIND)
        symbol = self._symbols.get(name)
        if symbol is None:
            raise UnreadableFrame(UNKNOWN_SYMBOL)
        return read(symbol, push)

    def _answered(self, answer: _Push) -> Sequence[Reading]:
        if answer.op == "subscribe":
            self._unanswered -= 1
        if not answer.success:
            self.refused.append("the venue refuses a request")
        return ()

    def _trades(self, symbol: Symbol, push: _Push) -> Sequence[Reading]:
        """Those that can be used; a frame may hold up to 1,024."""
        readings = []
        for trade in _TRADES.decode(push.data):
            try:
                readings.append(_trade(symbol, trade))
            except UnreadableFrame as error:
                self.refused.append(str(error))
        return readings

    def _top(self, symbol: Symbol, push: _Push) -> Sequence[Reading]:
        at = push.matched_at or push.ts
        check_time(at)
        change = _BOOK.decode(push.data)
        read = self._tops[symbol].change(symbol, change, at, is_snapshot=push.type == _SNAPSHOT)
        return () if read is None else (read,)

    def _mark(self, symbol: Symbol, push: _Push) -> Sequence[Reading]:
        check_time(push.ts)
        change = _TICKER.decode(push.data)
        read = self._marks[symbol].change(symbol, change, push.ts, is_snapshot=push.type == _SNAPSHOT)
        return () if read is None else (read,)


def _trade(symbol: Symbol, trade: _Trade) -> TradeRead:
    check_time(trade.at)
    check_prices(trade.price)
    check_quantity(trade.quantity)
    taker = _SIDES.get(trade.taker)
    if taker is None:
        raise UnreadableFrame("a trade is neither buy nor sell")
    return TradeRead(symbol, trade.price, trade.quantity, taker, trade.number, trade.at)


def _klines(timeframe: Timeframe) -> Callable[[Symbol, _Push], Sequence[Reading]]:
    def read(symbol: Symbol, push: _Push) -> Sequence[Reading]:
        return [_kline(symbol, timeframe, candle) for candle in _CANDLES.decode(push.data)]

    return read


def _kline(symbol: Symbol, timeframe: Timeframe, candle: _Candle) -> KlineRead:
    """`confirm` says that it has closed."""
    check_span(candle.start, timeframe)
    check_time(candle.timestamp)
    check_prices(candle.open, candle.high, candle.low, candle.close)
    check_volume(candle.volume)
    return KlineRead(
        symbol,
        timeframe,
        candle.start,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.confirm,
        candle.timestamp,
    )
