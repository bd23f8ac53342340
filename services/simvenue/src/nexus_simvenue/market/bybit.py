"""Bybit V5's public side for linear perpetuals: the stream `/v5/public/linear` and `/v5/market/*`.

Source: Bybit V5 documentation, WebSocket Stream (Connect, Public), Market; what a wrong subscription is
answered is as clients have recorded it. Of order books only the best prices are played (`orderbook.1`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import orjson

from nexus_common.contracts.values import Side, Symbol, Venue
from nexus_market.instruments import DEFAULT_INSTRUMENTS, venue_spelling
from nexus_simvenue.bybit.market import ticker_row
from nexus_simvenue.market.bybit_history import INTERVAL_OF, BybitHistory, quoted, trade_id, turnover
from nexus_simvenue.market.dialect import OVERSIZED, History, Worded
from nexus_simvenue.market.happenings import Halt, Happening, Kline, Mark, Print, Top
from nexus_simvenue.wire.dialect import Frame, Socket
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

PATH: Final = "/v5/public/linear"
# All topics of one connection together, in characters.
ARGS_LIMIT: Final = 21_000
_SPELLED: Final[Mapping[Symbol, str]] = MappingProxyType(
    {i.symbol: venue_spelling(i) for i in DEFAULT_INSTRUMENTS[Venue.BYBIT]}
)
_LISTED: Final = frozenset(_SPELLED.values())
# Of a ticker by REST, what the stream tells as well.
_STREAMED: Final = (
    *("symbol", "price24hPcnt", "lastPrice", "prevPrice24h", "highPrice24h", "lowPrice24h", "prevPrice1h"),
    *("markPrice", "indexPrice", "openInterest", "openInterestValue", "turnover24h", "volume24h"),
    *("nextFundingTime", "fundingRate", "bid1Price", "bid1Size", "ask1Price", "ask1Size"),
    "fundingIntervalHour",
)
_TOPIC: Final = re.compile(r"(?:publicTrade|orderbook\.1|tickers|kline\.(?:1|5|15|60|240))\.(\w+)")


@dataclass(frozen=True, slots=True)
class _Stated(Worded):
    """A message that tells a state: a client gets all of it first, then what has changed."""

    data: Mapping[str, Any] = field(default_factory=dict)


class BybitMarket:
    """See `nexus_simvenue.market.dialect.MarketDialect`.

    `statuses`: what an instrument is when it does not trade (`PreLaunch`, `Delivering`); `Closed` without.
    """

    def __init__(self, statuses: Mapping[Symbol, str] = MappingProxyType({})) -> None:
        self._history = BybitHistory(statuses)
        self._opened = 0
        self._prints: dict[Symbol, Print] = {}
        self._tops: dict[Symbol, Top] = {}

    # -- sockets ------------------------------------------------------------------------------------

    def accepts(self, path: str) -> bool:
        return path == PATH

    def opened(self, socket: Socket, now: datetime) -> Sequence[Frame]:
        self._opened += 1
        socket.notes["conn"] = f"simulated-market-{self._opened}"
        socket.notes["told"] = {}
        return ()

    def heard(self, socket: Socket, frame: Frame, now: datetime) -> Sequence[Frame]:
        try:
            said = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            return (_answer(socket, {}, f"Failed to decode incoming data:{error}"),)
        if not isinstance(said, dict):
            return (_answer(socket, {}, "Params Error"),)
        match said.get("op"):
            case "ping":
                return (_answer(socket, said, "pong", success=True),)
            case "subscribe" | "unsubscribe":
                refused = self._subscribe(socket, said["op"], said.get("args"))
                return (_answer(socket, said, refused or "", success=refused is None),)
            case _:
                return (_answer(socket, said, "error:invalid op"),)

    @staticmethod
    def _subscribe(socket: Socket, op: str, topics: Any) -> str | None:
        """Why it is refused, all of it; None when it is done."""
        if not isinstance(topics, list) or not topics:
            return "Params Error"
        for topic in topics:
            refused = _unknown(topic)
            if refused is None and op == "subscribe" and topic in socket.topics:
                refused = f"error:already subscribed,topic:{topic}"
            if refused is not None:
                return refused
        if op == "unsubscribe":
            socket.topics.difference_update(topics)
            for topic in topics:
                socket.notes["told"].pop(topic, None)
            return None
        if sum(map(len, {*socket.topics, *topics})) > ARGS_LIMIT:
            return f"args size >{ARGS_LIMIT}"
        socket.topics.update(topics)
        return None

    # -- what happens -------------------------------------------------------------------------------

    def word(self, symbol: Symbol, happening: Happening) -> Worded | None:
        spelled = _SPELLED.get(symbol, symbol)
        match happening:
            case Print():
                self._prints[symbol] = happening
                return _trade(spelled, happening)
            case Top():
                self._tops[symbol] = happening
                return _book(spelled, happening)
            case Mark():
                return _ticker(spelled, happening, self._prints.get(symbol), self._tops.get(symbol))
            case Kline():
                return _kline(spelled, happening)
            case Halt():
                return None

    def wrapped(self, socket: Socket, worded: Worded) -> Frame:
        if not isinstance(worded, _Stated):
            return worded.plain
        told: dict[str, _Stated] = socket.notes["told"]
        before = told.get(worded.topic)
        told[worded.topic] = worded
        if before is None:
            return worded.plain
        changed = _book_changes if worded.topic.startswith("orderbook") else _ticker_changes
        data = changed(before.data, worded.data)
        if data is None:
            return worded.plain
        return orjson.dumps({**orjson.loads(worded.plain), "type": "delta", "data": data}).decode()

    # -- questions ----------------------------------------------------------------------------------

    def get(self, request: HttpRequest, now: datetime, history: History) -> HttpResponse | None:
        return self._history.get(request, now, history)

    def noise(self, kind: str) -> Frame:
        match kind:
            case "unknown":
                return '{"topic":"weather.BTCUSDT","type":"snapshot","ts":1,"data":{"sky":"grey"}}'
            case "oversized":
                return '{"topic":"publicTrade.BTCUSDT","type":"snapshot","data":"' + "x" * OVERSIZED + '"}'
            case "truncated":
                return '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[{"T":1,"s":"BTC'
            case _:
                return '{"topic":"publicTrade.BTCUSDT","data":[{"p":1,,}]'


def _unknown(topic: Any) -> str | None:
    match = _TOPIC.fullmatch(topic) if isinstance(topic, str) else None
    if match is None or match[1] not in _LISTED:
        return f"error:handler not found,topic:{topic}"
    return None


def _answer(socket: Socket, said: Mapping[str, Any], message: str, *, success: bool = False) -> Frame:
    answer = {
        "success": success,
        "ret_msg": message,
        "conn_id": socket.notes["conn"],
        "req_id": said.get("req_id", ""),
        "op": said.get("op", ""),
    }
    return orjson.dumps(answer).decode()


def _frame(topic: str, at: int, data: Any, **more: Any) -> Frame:
    return orjson.dumps({"topic": topic, "type": "snapshot", "ts": at, "data": data, **more}).decode()


def _stated(topic: str, at: int, data: Mapping[str, Any], **more: Any) -> Worded:
    return _Stated(topic, _frame(topic, at, data, **more), data=data)


def _trade(spelled: str, trade: Print) -> Worded:
    """The taker's side stands for the direction of the price (`L`)."""
    buys = trade.taker is Side.BUY
    row = {
        "T": trade.at,
        "s": spelled,
        "S": "Buy" if buys else "Sell",
        "v": trade.quantity,
        "p": trade.price,
        "L": "PlusTick" if buys else "MinusTick",
        "i": trade_id(spelled, trade.number),
        "BT": False,
        "RPI": False,
        "seq": trade.number,
    }
    topic = f"publicTrade.{spelled}"
    return Worded(topic, _frame(topic, trade.at, [row]))


def _book(spelled: str, top: Top) -> Worded:
    data = {
        "s": spelled,
        "b": [[top.bid, top.bid_quantity]],
        "a": [[top.ask, top.ask_quantity]],
        "u": top.number,
        "seq": top.number,
    }
    return _stated(f"orderbook.1.{spelled}", top.at, data, cts=top.at)


def _book_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    """Levels that are new or have another size, and with size 0 those that are gone; None if all is as before."""
    changes = {**after}
    for side in ("b", "a"):
        [old], [new] = before[side], after[side]
        gone = [[old[0], "0"]] if old[0] != new[0] else []
        changes[side] = [*gone, new] if old != new else []
    return changes if changes["b"] or changes["a"] else None


def _ticker(spelled: str, mark: Mark, trade: Print | None, top: Top | None) -> Worded:
    row = ticker_row(spelled, quoted(mark, trade, top))
    data = {name: row[name] for name in _STREAMED} | {"tickDirection": "ZeroPlusTick"}
    return _stated(f"tickers.{spelled}", mark.at, data, cs=mark.at)


def _ticker_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """A delta has the symbol and the fields that are not as before."""
    return {name: value for name, value in after.items() if name == "symbol" or before[name] != value}


def _kline(spelled: str, kline: Kline) -> Worded:
    interval = INTERVAL_OF[kline.timeframe]
    topic = f"kline.{interval}.{spelled}"
    row = {
        "start": kline.open_time,
        "end": kline.open_time + kline.timeframe.seconds * 1_000 - 1,
        "interval": interval,
        "open": kline.open,
        "close": kline.close,
        "high": kline.high,
        "low": kline.low,
        "volume": kline.volume,
        "turnover": turnover(kline.volume, kline.close),
        "confirm": kline.closed,
        "timestamp": kline.at,
    }
    return Worded(topic, _frame(topic, kline.at, [row]))
