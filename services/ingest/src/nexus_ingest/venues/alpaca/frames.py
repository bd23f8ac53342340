"""What a frame of Alpaca's stock data stream says; MessagePack where it was asked for, JSON otherwise.

Source: Alpaca documentation, Real-time Stock Data. A frame is a list of messages; one that cannot be used does
not take the others with it. Daily bars, price bands, news, and the corrections and cancellations of trades are
left out: what a late trade changes in a candle comes as an updated bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec

from nexus_common.contracts.values import Symbol
from nexus_ingest.domain.readings import HaltRead, Reading, TradeRead
from nexus_ingest.venues.feed import RawFrame
from nexus_ingest.venues.messages import MessageList, Said
from nexus_ingest.venues.stocks import Moment, book, millis_of, minute, price, quantity

# Trades that do not update the consolidated last price, by their sale conditions. Source: the matrices of sale
# conditions in the specifications of CTA's CTS and UTP's UTDF; what updates it only as the first trade of a day
# (G, P, Z, 4) is among them. `B` is an average price at CTA (tapes A and B), a bunched trade, which updates, at UTP.
_NOT_LAST: Final = frozenset("CGHIMNPQRTUVZ47")
_NOT_LAST_OF: Final = {"A": _NOT_LAST | {"B"}, "B": _NOT_LAST | {"B"}, "C": _NOT_LAST | {"W"}}
# Status codes: 2 and 3 are CTA's, letters UTP's. Q is left out: quotation resumes before trading does.
_HALTED: Final = {"2": True, "H": True, "P": True, "3": False, "T": False}
_NAMES: Final = {
    "symbol": "S",
    "at": "t",
    "conditions": "c",
    "tape": "z",
    "price": "p",
    "size": "s",
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
    "status": "sc",
    "message": "sm",
    "reason": "rc",
    "reason_message": "rm",
    "updated_bars": "updatedBars",
}


class _Message(msgspec.Struct, tag_field="T", rename=_NAMES):
    """All have `T`, the kind."""


class _Trade(_Message, tag="t"):
    symbol: Symbol
    exchange: str
    number: int | str
    price: int | float
    size: int | float
    at: Moment
    tape: str = ""
    conditions: Sequence[str] | None = None


class _Quote(_Message, tag="q"):
    """Sizes are as the tape gives them; a side without an order has a price of 0."""

    symbol: Symbol
    bid: int | float
    bid_size: int | float
    ask: int | float
    ask_size: int | float
    at: Moment


class _MinuteBar(_Message, tag="b"):
    symbol: Symbol
    open: int | float
    high: int | float
    low: int | float
    close: int | float
    volume: int | float
    at: Moment


class _UpdatedBar(_MinuteBar, tag="u"):
    """A minute that was told before, with a late trade in it."""


class _Status(_Message, tag="s"):
    symbol: Symbol
    status: str
    at: Moment
    message: str = ""
    reason: str = ""
    reason_message: str = ""


class Welcome(_Message, tag="success"):
    """`connected`, then `authenticated`."""

    msg: str


class Subscribed(_Message, tag="subscription"):
    """All that the connection listens to."""

    trades: Sequence[str] = ()
    quotes: Sequence[str] = ()
    bars: Sequence[str] = ()
    updated_bars: Sequence[str] = ()
    statuses: Sequence[str] = ()

    def everywhere(self) -> frozenset[str]:
        """What it listens to on all of these channels."""
        channels = (self.trades, self.quotes, self.bars, self.updated_bars, self.statuses)
        return frozenset.intersection(*map(frozenset, channels))


class Refusal(_Message, tag="error"):
    code: int
    msg: str


class _DailyBar(_Message, tag="d"): ...


class _PriceBand(_Message, tag="l"): ...


class _TradeCorrected(_Message, tag="c"): ...


class _TradeCancelled(_Message, tag="x"): ...


class _News(_Message, tag="n"): ...


Control = Welcome | Subscribed | Refusal
_LeftOut = _DailyBar | _PriceBand | _TradeCorrected | _TradeCancelled | _News
_Data = _Trade | _Quote | _MinuteBar | _UpdatedBar | _Status
_PACKED: Final = MessageList[_Data | Control | _LeftOut](msgspec.msgpack, _Data | Control | _LeftOut)
_TEXT: Final = MessageList[_Data | Control | _LeftOut](msgspec.json, _Data | Control | _LeftOut)


def read(frame: RawFrame) -> Said[Control]:
    """Raises UnreadableFrame where not even a list of messages can be made out."""
    messages, unreadable = (_TEXT if isinstance(frame, str) else _PACKED).decode(frame)
    said: Said[Control] = Said([], [], unreadable)
    for message in messages:
        match message:
            case Welcome() | Subscribed() | Refusal():
                said.controls.append(message)
            case _DailyBar() | _PriceBand() | _TradeCorrected() | _TradeCancelled() | _News():
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
                millis_of(message.at),
            )
        case _MinuteBar():
            prices = (message.open, message.high, message.low, message.close)
            return minute(message.symbol, millis_of(message.at), prices, message.volume)
        case _Status():
            return _halt(message)
        case _:
            assert_never(message)


def _trade(trade: _Trade) -> TradeRead | None:
    not_last = _NOT_LAST_OF.get(trade.tape, _NOT_LAST)
    if trade.conditions and not not_last.isdisjoint(trade.conditions):
        return None
    number = f"{trade.exchange}{trade.number}"  # exchanges number their trades each for itself
    return TradeRead(
        trade.symbol, price(trade.price), quantity(trade.size), None, number, millis_of(trade.at)
    )


def _halt(status: _Status) -> HaltRead | None:
    halted = _HALTED.get(status.status)
    if halted is None:
        return None
    code, reason = status.reason or status.status, status.reason_message or status.message
    return HaltRead(status.symbol, halted, code, reason, millis_of(status.at))
