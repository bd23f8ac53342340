"""Alpaca's stock data stream, `/v2/iex` and `/v2/sip`: the server speaks first; JSON, or MessagePack if asked.

Source: Alpaca documentation, Real-time Stock Data and WebSocket Stream. What needs the server's own clock is
not played: 404 (10 seconds to authenticate), 407 (a slow client).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final

import orjson
from msgspec import DecodeError, msgpack

from nexus_common.contracts.values import Symbol, Timeframe
from nexus_market.candles import from_millis
from nexus_market.exchange.wire import simulated_secret
from nexus_simvenue.market.alpaca_history import AlpacaHistory
from nexus_simvenue.market.alpaca_rows import bar_row, quote_row, rfc3339, trade_row
from nexus_simvenue.market.dialect import OVERSIZED, History, Worded
from nexus_simvenue.market.happenings import Halt, Happening, Kline, Mark, Print, Top
from nexus_simvenue.wire.dialect import Frame, Socket
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

FEEDS: Final = frozenset(("/v2/iex", "/v2/sip"))
# Of the free plan: trades and quotes together; bars have no limit.
FREE_CHANNELS: Final = 30
CHANNELS: Final = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds")
# They come with the trades that one listens to.
_WITH_TRADES: Final = ("corrections", "cancelErrors")
ERRORS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "invalid syntax",
        401: "not authenticated",
        402: "auth failed",
        403: "already authenticated",
        404: "auth timeout",
        405: "symbol limit exceeded",
        406: "connection limit exceeded",
        407: "slow client",
        409: "insufficient subscription",
        410: "invalid subscribe action for this feed",
        412: "option messages are only available in MsgPack format",
        413: "star subscription is not allowed for option quotes",
        500: "internal error",
    }
)


@dataclass(frozen=True, slots=True)
class _Told(Worded):
    """`packed` is the message for those who listen in MessagePack."""

    packed: Frame = b""


class _Refused(Exception):
    """What a client says is answered with this error."""

    def __init__(self, code: int) -> None:
        super().__init__(ERRORS[code])
        self.code = code


class AlpacaMarket:
    """See `nexus_simvenue.market.dialect.MarketDialect`. A key's secret is `simulated_secret` of it.

    `free_keys` have the free plan: IEX alone, and few channels. One connection a key and feed.
    """

    def __init__(self, free_keys: Collection[str] = ()) -> None:
        self._free_keys = frozenset(free_keys)
        self._history = AlpacaHistory(self._free_keys)
        self._connected: dict[tuple[str, str], Socket] = {}
        self._told: dict[Symbol, tuple[int, tuple[str, ...]]] = {}

    # -- sockets ------------------------------------------------------------------------------------

    def accepts(self, path: str) -> bool:
        return path.rstrip("/") in FEEDS

    def opened(self, socket: Socket, now: datetime) -> Sequence[Frame]:
        socket.notes["packed"] = "msgpack" in socket.headers.get("content-type", "")
        greeting = _frame(socket, {"T": "success", "msg": "connected"})
        key = socket.headers.get("apca-api-key-id")
        if key is None:
            return (greeting,)
        said = {"action": "auth", "key": key, "secret": socket.headers.get("apca-api-secret-key")}
        return (greeting, self._worked(socket, said))

    def heard(self, socket: Socket, frame: Frame, now: datetime) -> Sequence[Frame]:
        return (self._worked(socket, _said(frame)),)

    def _worked(self, socket: Socket, said: Mapping[str, Any]) -> Frame:
        try:
            return _frame(socket, self._answer(socket, said))
        except _Refused as refused:
            return _frame(socket, {"T": "error", "code": refused.code, "msg": str(refused)})

    def _answer(self, socket: Socket, said: Mapping[str, Any]) -> Mapping[str, Any]:
        match said:
            case {"action": "auth"}:
                self._authenticate(socket, str(said.get("key")), said.get("secret"))
                return {"T": "success", "msg": "authenticated"}
            case {"action": "subscribe" | "unsubscribe" as action}:
                self._subscribe(socket, action, said)
                return _subscriptions(socket)
            case _:
                raise _Refused(400)

    def _authenticate(self, socket: Socket, key: str, secret: Any) -> None:
        if socket.account is not None:
            raise _Refused(403)
        if secret != simulated_secret(key):
            raise _Refused(402)
        feed = socket.path.rstrip("/")
        if feed == "/v2/sip" and key in self._free_keys:
            raise _Refused(409)
        other = self._connected.get((key, feed))
        if other is not None and not other.closed:
            raise _Refused(406)
        socket.account = key
        self._connected[key, feed] = socket

    def _subscribe(self, socket: Socket, action: str, said: Mapping[str, Any]) -> None:
        if socket.account is None:
            raise _Refused(401)
        lists = {channel: symbols for channel, symbols in said.items() if channel != "action"}
        if any(channel not in (*CHANNELS, *_WITH_TRADES) for channel in lists):
            raise _Refused(410)
        if not lists or not all(_is_list_of_symbols(symbols) for symbols in lists.values()):
            raise _Refused(400)
        named = {f"{channel}.{symbol}" for channel in CHANNELS for symbol in lists.get(channel, ())}
        if action == "unsubscribe":
            socket.topics -= named
            return
        limited = [topic for topic in socket.topics | named if topic.startswith(("trades.", "quotes."))]
        if socket.account in self._free_keys and len(limited) > FREE_CHANNELS:
            raise _Refused(405)
        socket.topics |= named

    # -- what happens -------------------------------------------------------------------------------

    def word(self, symbol: Symbol, happening: Happening) -> Worded | None:
        match happening:
            case Print():
                return _told("trades", symbol, {"T": "t", **trade_row(happening)}, happening.at)
            case Top():
                return _told("quotes", symbol, {"T": "q", **quote_row(happening)}, happening.at)
            case Kline():
                return self._bar(symbol, happening)
            case Halt():
                return _told("statuses", symbol, _status(happening), happening.at)
            case Mark():
                return None

    def _bar(self, symbol: Symbol, kline: Kline) -> Worded | None:
        """Minutes alone, and closed ones; one that was told before with other figures is told as updated."""
        if kline.timeframe is not Timeframe.M1 or not kline.closed:
            return None
        figures = (kline.open, kline.high, kline.low, kline.close, kline.volume)
        told = (kline.open_time, figures)
        before = self._told.get(symbol, told)
        self._told[symbol] = max(before, told, key=itemgetter(0))
        again = kline.open_time < before[0] or (kline.open_time == before[0] and figures != before[1])
        row = {"T": "u" if again else "b", **bar_row(figures, kline.trades)}
        return _told("updatedBars" if again else "bars", symbol, row, kline.open_time)

    def wrapped(self, socket: Socket, worded: Worded) -> Frame:
        assert isinstance(worded, _Told)
        return worded.packed if socket.notes["packed"] else worded.plain

    # -- questions ----------------------------------------------------------------------------------

    def get(self, request: HttpRequest, now: datetime, history: History) -> HttpResponse | None:
        return self._history.get(request, now, history)

    def noise(self, kind: str) -> Frame:
        """In MessagePack, which the vendor's SDK speaks."""
        match kind:
            case "unknown":
                return msgpack.encode([{"T": "weather", "S": "AAPL", "sky": "grey"}])
            case "oversized":
                return msgpack.encode([{"T": "t", "S": "AAPL", "i": "x" * OVERSIZED}])
            case "truncated":
                return msgpack.encode([{"T": "t", "S": "AAPL", "p": 126.55, "s": 1}])[:-5]
            case _:
                return b"\xc1 is never used"


def _said(frame: Frame) -> Mapping[str, Any]:
    """What a client says, in either encoding; empty for what is no document."""
    try:
        said = msgpack.decode(frame) if isinstance(frame, bytes) else orjson.loads(frame)
    except (ValueError, DecodeError):
        return {}
    return said if isinstance(said, dict) else {}


def _is_list_of_symbols(symbols: Any) -> bool:
    return isinstance(symbols, list) and all(isinstance(symbol, str) for symbol in symbols)


def _subscriptions(socket: Socket) -> dict[str, Any]:
    """All that the connection listens to now."""
    listens: dict[str, list[str]] = {channel: [] for channel in (*CHANNELS, *_WITH_TRADES)}
    for topic in sorted(socket.topics):
        channel, symbol = topic.split(".", 1)
        listens[channel].append(symbol)
    for channel in _WITH_TRADES:
        listens[channel] = listens["trades"]
    return {"T": "subscription", **listens}


def _frame(socket: Socket, document: Mapping[str, Any]) -> Frame:
    return msgpack.encode([document]) if socket.notes["packed"] else orjson.dumps([document]).decode()


def _told(channel: str, symbol: Symbol, row: Mapping[str, Any], at: int) -> Worded:
    document = {"S": symbol, **row}
    text = orjson.dumps([{**document, "t": rfc3339(at)}]).decode()
    packed = msgpack.encode([{**document, "t": from_millis(at)}])
    return _Told(f"{channel}.{symbol}", text, f"{channel}.*", packed)


def _status(halt: Halt) -> dict[str, Any]:
    """Codes of the UTP tape."""
    code, message = ("H", "Trading Halt") if halt.halted else ("T", "Trading Resumption")
    return {"T": "s", "sc": code, "sm": message, "rc": halt.code, "rm": halt.reason, "z": "C"}
