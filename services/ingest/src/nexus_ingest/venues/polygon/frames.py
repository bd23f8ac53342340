"""What a frame of Polygon's stock stream says: JSON, a list of messages.

Source: Polygon (Massive) documentation, WebSocket, stocks. One message that cannot be used does not take the
others with it. Aggregates of a second are left out, and of the price bands (LULD) all but halts and resumptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec

from nexus_common.contracts.values import Symbol, Timeframe
from nexus_ingest.domain.readings import HaltRead, KlineRead, Reading, TradeRead, UnreadableFrame
from nexus_ingest.venues.feed import RawFrame
from nexus_ingest.venues.messages import MessageList, Said
from nexus_ingest.venues.stocks import book, millis, minute, price, quantity
from nexus_market.candles import slot_millis

_MINUTE: Final = slot_millis(Timeframe.M1)
# Conditions whose `update_rules.consolidated.updates_open_close` is false in `/v3/reference/conditions`.
NOT_LAST: Final = frozenset((2, 5, 7, 10, 12, 13, 15, 16, 20, 21, 22, 29, 32, 33, 37, 52, 53))
# Indicators of LULD messages, sent for stocks listed at Nasdaq.
_HALT, _RESUMPTION = 17, 18
_NAMES: Final = {
    "symbol": "sym",
    "at": "t",
    "price": "p",
    "size": "s",
    "conditions": "c",
    "number": "i",
    "exchange": "x",
    "bid": "bp",
    "bid_size": "bs",
    "ask": "ap",
    "ask_size": "as",
    "open": "o",
    "high": "h",
    "low": "l",
    "close": "c",
    "volume": "v",
    "start": "s",
    "end": "e",
}


class _Message(msgspec.Struct, tag_field="ev", rename=_NAMES): ...


class _Trade(_Message, tag="T"):
    symbol: Symbol
    exchange: int
    number: str
    price: int | float
    size: int | float
    at: int
    conditions: Sequence[int] = ()


class _Quote(_Message, tag="Q"):
    """Sizes are as the tape gives them; a side without an order is absent, or has a price of 0."""

    symbol: Symbol
    at: int
    bid: int | float = 0
    bid_size: int | float = 0
    ask: int | float = 0
    ask_size: int | float = 0


class _MinuteBar(_Message, tag="AM"):
    symbol: Symbol
    open: int | float
    high: int | float
    low: int | float
    close: int | float
    volume: int | float
    start: int
    end: int


class _PriceBand(_Message, tag="LULD", rename={"symbol": "T", "at": "t", "indicators": "i"}):
    symbol: Symbol
    at: int
    indicators: Sequence[int] = ()


class _SecondBar(_Message, tag="A"): ...


class Status(_Message, tag="status"):
    """`connected`, `auth_success`, `auth_failed`, `success` (a subscription), `max_connections`, `error`."""

    status: str
    message: str = ""


_Data = _Trade | _Quote | _MinuteBar | _PriceBand
_FRAMES: Final = MessageList[_Data | _SecondBar | Status](msgspec.json, _Data | _SecondBar | Status)


def read(frame: RawFrame) -> Said[Status]:
    """Raises UnreadableFrame where not even a list of messages can be made out."""
    messages, unreadable = _FRAMES.decode(frame)
    said: Said[Status] = Said([], [], unreadable)
    for message in messages:
        match message:
            case Status():
                said.controls.append(message)
            case _SecondBar():
                pass
            case _:
                said.take(_reading, message)
    return said


def _reading(message: _Data) -> Reading | None:
    match message:
        case _Trade():
            return _trade(message)
        case _Quote():
            return book(
                message.symbol,
                message.bid,
                message.bid_size,
                message.ask,
                message.ask_size,
                millis(message.at),
            )
        case _MinuteBar():
            return _candle(message)
        case _PriceBand():
            return _halt(message)
        case _:
            assert_never(message)


def _trade(trade: _Trade) -> TradeRead | None:
    if not NOT_LAST.isdisjoint(trade.conditions):
        return None
    number = f"{trade.exchange}-{trade.number}"  # exchanges number their trades each for itself
    return TradeRead(trade.symbol, price(trade.price), quantity(trade.size), None, number, millis(trade.at))


def _candle(bar: _MinuteBar) -> KlineRead:
    """Sent when the minute has closed, and again if a late trade changed it."""
    open_time = millis(bar.start)
    if millis(bar.end) - open_time != _MINUTE:
        raise UnreadableFrame("a bar is not one minute long")
    return minute(bar.symbol, open_time, (bar.open, bar.high, bar.low, bar.close), bar.volume)


def _halt(band: _PriceBand) -> HaltRead | None:
    at = millis(band.at)
    if _HALT in band.indicators:
        return HaltRead(band.symbol, True, str(_HALT), "trading halted", at)
    if _RESUMPTION in band.indicators:
        return HaltRead(band.symbol, False, str(_RESUMPTION), "trading resumed", at)
    return None
