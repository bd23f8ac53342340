"""Polygon's stocks: the stream `/stocks` (messages in arrays, status messages for what one says) and REST.

Source: Polygon documentation, Stocks WebSocket and Aggregates; status texts as clients have recorded them.
Seconds (`A`) may be listened to, but are not played: a market is known by the minute. Of price bands (`LULD`)
only halts and resumptions are told, and no bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from nexus_common.contracts.values import Symbol, Timeframe
from nexus_simvenue.market.alpaca_rows import number
from nexus_simvenue.market.dialect import OVERSIZED, History, Worded
from nexus_simvenue.market.happenings import Halt, Happening, Kline, Mark, Print, Top
from nexus_simvenue.market.keys import is_service_key
from nexus_simvenue.market.polygon_history import PolygonHistory
from nexus_simvenue.wire.dialect import Frame, Socket
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

PATH: Final = "/stocks"
CHANNELS: Final = frozenset(("T", "Q", "A", "AM", "LULD"))
_EXCHANGE: Final = 4
_TAPE: Final = 3
# Indicators of LULD messages.
_HALTED, _RESUMED = 17, 18
_CONNECTED: Final = "Connected Successfully"
_TOO_MANY: Final = "Maximum number of websocket connections exceeded."


@dataclass(slots=True)
class _Day:
    """What a stock's UTC day began with, and its volume up to the last minute that was told."""

    number: int
    opened: float
    volume: float = 0
    minute: int = -1


class PolygonMarket:
    """See `nexus_simvenue.market.dialect.MarketDialect`.

    One connection a key; keys are as `keys.service_key` makes them.
    """

    def __init__(self) -> None:
        self._history = PolygonHistory()
        self._connected: dict[str, Socket] = {}
        self._days: dict[Symbol, _Day] = {}

    # -- sockets ------------------------------------------------------------------------------------

    def accepts(self, path: str) -> bool:
        return path.rstrip("/") == PATH

    def opened(self, socket: Socket, now: datetime) -> Sequence[Frame]:
        return (_status("connected", _CONNECTED),)

    def heard(self, socket: Socket, frame: Frame, now: datetime) -> Sequence[Frame]:
        try:
            said = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return (_status("error", "invalid message"),)
        match said:
            case {"action": "auth", "params": str(key)}:
                return (self._authenticate(socket, key),)
            case {"action": "subscribe" | "unsubscribe" as action, "params": str(topics)}:
                if socket.account is None:
                    return (_status("auth_failed", "not authenticated"),)
                return (_subscribe(socket, action, topics),)
            case _:
                return (_status("error", "invalid action"),)

    def _authenticate(self, socket: Socket, key: str) -> Frame:
        if not is_service_key(key):
            return _status("auth_failed", "authentication failed")
        other = self._connected.get(key)
        if other is not None and other is not socket and not other.closed:
            return _status("max_connections", _TOO_MANY)
        socket.account = key
        self._connected[key] = socket
        return _status("auth_success", "authenticated")

    # -- what happens -------------------------------------------------------------------------------

    def word(self, symbol: Symbol, happening: Happening) -> Worded | None:
        match happening:
            case Print():
                return _told("T", symbol, _trade(happening))
            case Top():
                return _told("Q", symbol, _quote(happening))
            case Kline(timeframe=Timeframe.M1, closed=True):
                return _told("AM", symbol, self._minute(symbol, happening))
            case Halt():
                return Worded(f"LULD.{symbol}", _halt(symbol, happening), "LULD.*")
            case Kline() | Mark():
                return None

    def _minute(self, symbol: Symbol, kline: Kline) -> dict[str, Any]:
        """The mean of high, low and close stands for average prices."""
        figures = (kline.volume, kline.open, kline.close, kline.high, kline.low)
        volume, opened, close, high, low = map(number, figures)
        number_of_day = kline.open_time // 86_400_000
        day = self._days.get(symbol)
        if day is None or day.number != number_of_day:
            day = self._days[symbol] = _Day(number_of_day, opened)
        if kline.open_time > day.minute:
            day.volume, day.minute = day.volume + volume, kline.open_time
        average = round((high + low + close) / 3, 4)
        return {
            "v": volume,
            "av": day.volume,
            "op": day.opened,
            "vw": average,
            "o": opened,
            "c": close,
            "h": high,
            "l": low,
            "a": average,
            "z": int(volume // max(kline.trades, 1)),
            "s": kline.open_time,
            "e": kline.open_time + kline.timeframe.seconds * 1_000,
        }

    def wrapped(self, socket: Socket, worded: Worded) -> Frame:
        return worded.plain

    # -- questions ----------------------------------------------------------------------------------

    def get(self, request: HttpRequest, now: datetime, history: History) -> HttpResponse | None:
        return self._history.get(request, now, history)

    def noise(self, kind: str) -> Frame:
        match kind:
            case "unknown":
                return '[{"ev":"weather","sym":"MSFT","sky":"grey"}]'
            case "oversized":
                return '[{"ev":"T","sym":"MSFT","i":"' + "x" * OVERSIZED + '"}]'
            case "truncated":
                return '[{"ev":"T","sym":"MSFT","x":4,"p":114.'
            case _:
                return '[{"ev":"AM","sym":,}]'


def _status(status: str, *messages: str) -> Frame:
    return orjson.dumps([{"ev": "status", "status": status, "message": m} for m in messages]).decode()


def _subscribe(socket: Socket, action: str, topics: str) -> Frame:
    """Every topic is answered; `AM.MSFT` and `AM.*` are topics."""
    named = [topic.strip() for topic in topics.split(",")]
    for topic in named:
        channel, _, symbol = topic.partition(".")
        if channel not in CHANNELS or not symbol:
            return _status("error", f"invalid params: {topic}")
    if action == "subscribe":
        socket.topics.update(named)
        return _status("success", *(f"subscribed to: {topic}" for topic in named))
    socket.topics.difference_update(named)
    return _status("success", *(f"unsubscribed to: {topic}" for topic in named))


def _told(channel: str, symbol: Symbol, row: dict[str, Any]) -> Worded:
    frame = orjson.dumps([{"ev": channel, "sym": symbol, **row}]).decode()
    return Worded(f"{channel}.{symbol}", frame, f"{channel}.*")


def _trade(trade: Print) -> dict[str, Any]:
    return {
        "x": _EXCHANGE,
        "i": str(trade.number),
        "z": _TAPE,
        "p": number(trade.price),
        "s": number(trade.quantity),
        "c": [0],
        "t": trade.at,
        "q": trade.number,
    }


def _quote(top: Top) -> dict[str, Any]:
    return {
        "bx": _EXCHANGE,
        "bp": number(top.bid),
        "bs": number(top.bid_quantity),
        "ax": _EXCHANGE,
        "ap": number(top.ask),
        "as": number(top.ask_quantity),
        "c": 0,
        "i": [604],
        "t": top.at,
        "q": top.number,
        "z": _TAPE,
    }


def _halt(symbol: Symbol, halt: Halt) -> Frame:
    """Price bands are stamped in microseconds."""
    row = {
        "ev": "LULD",
        "T": symbol,
        "h": None,
        "l": None,
        "i": [_HALTED if halt.halted else _RESUMED],
        "z": _TAPE,
        "t": halt.at * 1_000,
        "q": halt.at,
    }
    return orjson.dumps([row]).decode()
