"""Binance USDT-M public streams.

Source: Websocket Market Streams, Live Subscribing/Unsubscribing, and the Important WebSocket Change Notice:
/public carries what is fast (trades, book), /market what is regular (aggregate trades, marks, candles); a stream
that is asked for at the other address is taken down and stays silent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from nexus_common.contracts.values import Side, Symbol
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.ports import Clock
from nexus_simvenue.market.binance_history import BinanceHistory, quote_volume
from nexus_simvenue.market.dialect import OVERSIZED, History, Worded
from nexus_simvenue.market.happenings import Halt, Happening, Kline, Mark, Print, Top
from nexus_simvenue.wire.dialect import Frame, Socket, SocketRefused, Window
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

STREAMS_MAX: Final = 1_024
MESSAGES_A_SECOND: Final = 10
_PATH: Final = re.compile(r"/(?P<category>public|market)/(?:(?P<raw>ws)(?:/(?P<names>.+))?|stream)")
_PUBLIC: Final = frozenset(("trade", "bookTicker", "depth", "rpiDepth"))
_METHODS: Final = "SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY"
# The name under which ccxt tells its connections apart: `/market/ws/0`.
_NUMBER: Final = re.compile(r"\d+")


class _Wrong(Exception):
    """What is answered to a message that makes no sense."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.answer = {"code": code, "msg": text}


@dataclass(frozen=True, slots=True)
class _Traded(Worded):
    """A trade; `aggregate` is how /market tells it."""

    aggregate: Frame = ""


class BinanceMarket:
    """See `nexus_simvenue.market.dialect.MarketDialect`. The venue counts by the wall's `clock`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or WallClock()
        self._history = BinanceHistory(self._clock)

    # -- sockets ------------------------------------------------------------------------------------

    def accepts(self, path: str) -> bool:
        return not path.startswith(("/private", "/ws-fapi"))

    def opened(self, socket: Socket, now: datetime) -> Sequence[Frame]:
        match = _PATH.fullmatch(socket.path)
        if match is None:
            raise SocketRefused(
                404, "streams are at /public/ws, /market/ws, /public/stream and /market/stream"
            )
        named = match["names"] if match["raw"] else socket.query.get("streams")
        names = [name for name in (named or "").split("/") if name and not _NUMBER.fullmatch(name)]
        socket.notes.update(
            category=match["category"], combined=match["raw"] is None, streams={}, messages=Window(1)
        )
        try:
            _subscribe(socket, names)
        except _Wrong as wrong:
            raise SocketRefused(400, str(wrong)) from None
        return ()

    def heard(self, socket: Socket, frame: Frame, now: datetime) -> Sequence[Frame]:
        if socket.notes["messages"].add("", 1, self._clock.now()) > MESSAGES_A_SECOND:
            raise SocketRefused(429, "more than 10 messages within a second")
        number = None
        try:
            said = orjson.loads(frame)
            number = _number(said)
            reply: dict[str, Any] = {"result": _worked(socket, said), "id": number}
        except orjson.JSONDecodeError as error:
            reply = {"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}
        except _Wrong as wrong:
            reply = {"error": wrong.answer, **({} if number is None else {"id": number})}
        return (orjson.dumps(reply).decode(),)

    # -- what happens -------------------------------------------------------------------------------

    def word(self, symbol: Symbol, happening: Happening) -> Worded | None:
        match happening:
            case Kline():
                return _kline(symbol, happening)
            case Print():
                return _trade(symbol, happening)
            case Top():
                return _book(symbol, happening)
            case Mark():
                return _mark(symbol, happening)
            case Halt():
                return None

    def wrapped(self, socket: Socket, worded: Worded) -> Frame:
        on_market = socket.notes["category"] == "market"
        frame = worded.aggregate if on_market and isinstance(worded, _Traded) else worded.plain
        if not socket.notes["combined"]:
            return frame
        stream = worded.topic if worded.topic in socket.topics else worded.every
        return f'{{"stream":"{stream}","data":{_text(frame)}}}'

    # -- questions ----------------------------------------------------------------------------------

    def get(self, request: HttpRequest, now: datetime, history: History) -> HttpResponse | None:
        return self._history.get(request, now, history)

    def noise(self, kind: str) -> Frame:
        match kind:
            case "unknown":
                return '{"e":"weather","E":1,"s":"BTCUSDT","sky":"grey"}'
            case "oversized":
                return '{"e":"trade","s":"BTCUSDT","X":"' + "x" * OVERSIZED + '"}'
            case "truncated":
                return '{"e":"trade","E":1723161256322,"s":"BTCUSDT","p":"618'
            case _:
                return '{"e":"kline","E":,"s":"BTCUSDT"}'


def _text(frame: Frame) -> str:
    return frame if isinstance(frame, str) else frame.decode()


def _number(said: Any) -> int:
    """The id of a message; raises _Wrong."""
    number = said.get("id") if isinstance(said, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise _Wrong(2, "Invalid request: request ID must be an unsigned integer")
    return number


def _worked(socket: Socket, said: dict[str, Any]) -> Any:
    """Do what a message asks for; raises _Wrong."""
    method, params = said.get("method"), said.get("params", [])
    match method:
        case "LIST_SUBSCRIPTIONS":
            return list(socket.notes["streams"])
        case "SUBSCRIBE" | "UNSUBSCRIBE":
            if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
                raise _Wrong(2, "Invalid request: params must be an array of stream names")
            (_subscribe if method == "SUBSCRIBE" else _unsubscribe)(socket, params)
            return None
        case "SET_PROPERTY" | "GET_PROPERTY":
            return _property(socket, method, params)
        case _:
            raise _Wrong(2, f"Invalid request: unknown variant {method}, expected one of {_METHODS}")


def _subscribe(socket: Socket, names: Sequence[str]) -> None:
    streams: dict[str, None] = socket.notes["streams"]
    if len(streams.keys() | set(names)) > STREAMS_MAX:
        raise _Wrong(2, f"Invalid request: more than {STREAMS_MAX} streams")
    streams.update(dict.fromkeys(names))
    socket.topics.update(name for name in names if _category(name) == socket.notes["category"])


def _unsubscribe(socket: Socket, names: Sequence[str]) -> None:
    for name in names:
        socket.notes["streams"].pop(name, None)
    socket.topics.difference_update(names)


def _category(name: str) -> str:
    """Which address carries a stream."""
    kind = name.lstrip("!").partition("@")[2 if "@" in name else 0].partition("@")[0]
    return "public" if kind in _PUBLIC else "market"


def _property(socket: Socket, method: str, params: Any) -> Any:
    if not isinstance(params, list) or not params or not isinstance(params[0], str):
        raise _Wrong(2, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise _Wrong(0, "Unknown property")
    if method == "GET_PROPERTY":
        return socket.notes["combined"]
    if len(params) < 2 or not isinstance(params[1], bool):
        raise _Wrong(1, "Invalid value type: expected Boolean")
    socket.notes["combined"] = params[1]
    return None


def _kline(symbol: Symbol, kline: Kline) -> Worded:
    timeframe, opened = kline.timeframe, kline.open_time
    last = opened + timeframe.seconds * 1_000 - 1
    closed = "true" if kline.closed else "false"
    return Worded(
        f"{symbol.lower()}@kline_{timeframe}",
        f'{{"e":"kline","E":{kline.at},"s":"{symbol}","k":{{"t":{opened},"T":{last},"s":"{symbol}",'
        f'"i":"{timeframe}","f":-1,"L":-1,"o":"{kline.open}","c":"{kline.close}","h":"{kline.high}",'
        f'"l":"{kline.low}","v":"{kline.volume}","n":{kline.trades},"x":{closed},'
        f'"q":"{quote_volume(kline.close, kline.volume)}","V":"0","Q":"0","B":"0"}}}}',
    )


def _trade(symbol: Symbol, trade: Print) -> Worded:
    maker = "true" if trade.taker is Side.SELL else "false"
    lower, head = symbol.lower(), f'"E":{trade.at},"T":{trade.at},"s":"{symbol}"'
    figures = f'"p":"{trade.price}","q":"{trade.quantity}"'
    number = trade.number
    return _Traded(
        f"{lower}@trade",
        f'{{"e":"trade",{head},"t":{number},{figures},"X":"MARKET","m":{maker}}}',
        f"{lower}@aggTrade",
        f'{{"e":"aggTrade",{head},"a":{number},{figures},"f":{number},"l":{number},"m":{maker}}}',
    )


def _book(symbol: Symbol, top: Top) -> Worded:
    return Worded(
        f"{symbol.lower()}@bookTicker",
        f'{{"e":"bookTicker","u":{top.number},"s":"{symbol}","b":"{top.bid}","B":"{top.bid_quantity}",'
        f'"a":"{top.ask}","A":"{top.ask_quantity}","T":{top.at},"E":{top.at}}}',
        "!bookTicker",
    )


def _mark(symbol: Symbol, mark: Mark) -> Worded:
    """Every mark at @1s; the plain stream has those of every third second."""
    lower = symbol.lower()
    return Worded(
        f"{lower}@markPrice@1s",
        f'{{"e":"markPriceUpdate","E":{mark.at},"s":"{symbol}","p":"{mark.mark_price}",'
        f'"i":"{mark.index_price}","P":"{mark.mark_price}","r":"{mark.funding_rate}","T":{mark.next_funding}}}',
        f"{lower}@markPrice" if mark.at // 1_000 % 3 == 0 else "",
    )
