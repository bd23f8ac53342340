"""What Alpaca's market data API answers: bars over pages, the latest of a stock, the calendar and the clock.

Source: Alpaca documentation, Historical Stock Data. Only raw bars are played, whatever `adjustment` asks for, of
the timeframes that we trade on.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, format_decimal
from nexus_market.candles import to_millis
from nexus_market.exchange.wire import simulated_secret
from nexus_simvenue.alpaca.problems import Problem
from nexus_simvenue.alpaca.views import Views
from nexus_simvenue.market.alpaca_rows import bar_row, quote_row, rfc3339, trade_row
from nexus_simvenue.market.dialect import History
from nexus_simvenue.market.happenings import Print, Top
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

_TIMEFRAMES: Final = dict(zip(("1Min", "5Min", "15Min", "1Hour", "4Hour"), Timeframe, strict=True))
_FEEDS: Final = ("sip", "iex", "delayed_sip", "otc")
_ADJUSTMENTS: Final = frozenset(("raw", "split", "dividend", "spin-off", "all"))
_BARS_OF: Final = frozenset(
    ("timeframe", "start", "end", "limit", "adjustment", "asof", "feed", "currency", "page_token", "sort")
)
# What the free plan may not see of the consolidated tape.
_RECENT: Final = timedelta(minutes=15)
_NEWEST: Final = 1_000
_MOST: Final = 10_000
_H = TypeVar("_H", Print, Top)


class _Refused(Exception):
    """The data API's refusals have a message alone."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Asked:
    fields: Mapping[str, str]
    now: datetime
    history: History
    is_free: bool

    def known(self, names: frozenset[str]) -> None:
        unknown = sorted(set(self.fields) - names)
        if unknown:
            raise _Refused(400, f"unexpected query parameter(s): {', '.join(unknown)}")

    def symbols(self) -> list[Symbol]:
        names = [name for name in self.fields.get("symbols", "").split(",") if name]
        if not names:
            raise _Refused(400, "symbols is required")
        return [self.symbol(name) for name in sorted(set(names))]

    def symbol(self, name: str) -> Symbol:
        if not re.fullmatch(r"[A-Z][A-Z0-9./]*", name):
            raise _Refused(400, f"invalid symbol: {name}")
        return Symbol(name)

    def moment(self, name: str, default: datetime) -> datetime:
        text = self.fields.get(name)
        if text is None:
            return default
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise _Refused(400, f"Invalid format for parameter {name}: {text}") from None
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    def check_feed(self, until: datetime) -> None:
        feed = self.fields.get("feed", "iex" if self.is_free else "sip")
        if feed not in _FEEDS:
            raise _Refused(400, f"invalid feed: {feed}")
        if feed == "sip" and self.is_free and until > self.now - _RECENT:
            raise _Refused(403, "subscription does not permit querying recent SIP data")


class AlpacaHistory:
    """`free_keys` have the free plan."""

    def __init__(self, free_keys: frozenset[str]) -> None:
        self._free_keys = free_keys

    def get(self, request: HttpRequest, now: datetime, history: History) -> HttpResponse | None:
        for pattern, answer in _ROUTES.items():
            match = re.fullmatch(pattern, request.path)
            if match is not None and request.method == "GET":
                return self._answered(request, now, history, answer, match.groups())
        return None

    def _answered(
        self, request: HttpRequest, now: datetime, history: History, answer: _Answer, named: tuple[str, ...]
    ) -> HttpResponse:
        key = request.headers.get("apca-api-key-id", "")
        if request.headers.get("apca-api-secret-key") != simulated_secret(key):
            return HttpResponse.json({"message": "unauthorized."}, 401)
        asked = _Asked(request.query_fields(), now, history, key in self._free_keys)
        try:
            return HttpResponse.json(answer(asked, *named))
        except _Refused as refused:
            return HttpResponse.json({"message": str(refused)}, refused.status)
        except Problem as problem:
            return problem.response()


# -- bars -------------------------------------------------------------------------------------------


def _bars(asked: _Asked) -> dict[str, Any]:
    asked.known(_BARS_OF | {"symbols"})
    pages, token = _page(asked, asked.symbols())
    return {"bars": pages, "next_page_token": token}


def _bars_of(asked: _Asked, name: str) -> dict[str, Any]:
    asked.known(_BARS_OF)
    symbol = asked.symbol(name)
    pages, token = _page(asked, [symbol])
    return {"symbol": symbol, "bars": pages.get(symbol, []), "next_page_token": token}


def _page(asked: _Asked, symbols: list[Symbol]) -> tuple[dict[str, list[dict[str, Any]]], str | None]:
    """Symbol by symbol, `limit` bars in all; the token names the last bar of the page."""
    name = asked.fields.get("timeframe", "")
    timeframe = _TIMEFRAMES.get(name)
    if timeframe is None:
        raise _Refused(400, f"invalid timeframe: {name}")
    if asked.fields.get("adjustment", "raw") not in _ADJUSTMENTS:
        raise _Refused(400, f"invalid adjustment: {asked.fields['adjustment']}")
    start, end = _span(asked)
    after, behind = _from_token(asked.fields.get("page_token", ""), name)
    room = _limit(asked.fields.get("limit", "1000"))
    pages: dict[str, list[dict[str, Any]]] = {}
    for symbol in symbols:
        if symbol < after:
            continue
        first = max(start, behind + 1) if symbol == after else start
        bars = [bar for bar in asked.history.bars(symbol, timeframe, first, end)]
        if bars[:room]:
            pages[symbol] = [_row(bar) for bar in bars[:room]]
        if len(bars) > room:
            last = (symbol, bars[room - 1].open_time) if room else (symbol, first - 1)
            return pages, _token(last[0], name, last[1])
        room -= len(bars)
    return pages, None


def _span(asked: _Asked) -> tuple[int, int]:
    """Open times in ms, both included; without a start from midnight on."""
    start = asked.moment("start", asked.now.replace(hour=0, minute=0, second=0, microsecond=0))
    end = asked.moment("end", asked.now - _RECENT if asked.is_free else asked.now)
    if start > end:
        raise _Refused(400, "end should not be before start")
    asked.check_feed(end)
    return to_millis(start), to_millis(end)


def _limit(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST:
        raise _Refused(400, f"invalid limit: {text} (1 to {_MOST})")
    return int(text)


def _token(symbol: str, timeframe: str, open_time: int) -> str:
    return b64encode(f"{symbol}|{timeframe}|{open_time}".encode()).decode()


def _from_token(token: str, timeframe: str) -> tuple[str, int]:
    """The symbol and open time behind which a page goes on; raises _Refused."""
    if not token:
        return "", -1
    try:
        symbol, of, open_time = b64decode(token, validate=True).decode().split("|")
        if of == timeframe:
            return symbol, int(open_time)
    except ValueError:
        pass
    raise _Refused(400, "invalid page_token")


def _row(bar: Bar) -> dict[str, Any]:
    """How many trades a bar of history had is not recorded."""
    return {"t": rfc3339(bar.open_time), **bar_row([format_decimal(figure) for figure in bar[1:]], None)}


# -- the latest -------------------------------------------------------------------------------------


def _latest(asked: _Asked, kind: type[_H], row: Callable[[_H], dict[str, Any]]) -> dict[str, Any]:
    """Symbols of which nothing is known yet are left out."""
    asked.known(frozenset(("symbols", "feed", "currency")))
    found = {symbol: _newest(asked, symbol, kind, row) for symbol in asked.symbols()}
    return {symbol: document for symbol, document in found.items() if document is not None}


def _newest(
    asked: _Asked, symbol: Symbol, kind: type[_H], row: Callable[[_H], dict[str, Any]]
) -> dict[str, Any] | None:
    asked.check_feed(asked.now)
    newest = reversed(asked.history.newest(symbol, _NEWEST))
    found = next((happening for happening in newest if isinstance(happening, kind)), None)
    return None if found is None else {"t": rfc3339(found.at), **row(found)}


def _latest_of(
    asked: _Asked, name: str, kind: type[_H], row: Callable[[_H], dict[str, Any]]
) -> dict[str, Any]:
    asked.known(frozenset(("feed", "currency")))
    document = _newest(asked, asked.symbol(name), kind, row)
    if document is None:
        raise _Refused(404, f"no {'trade' if kind is Print else 'quote'} found for {name}")
    return {"symbol": name, "trade" if kind is Print else "quote": document}


# -- the venue --------------------------------------------------------------------------------------


def _assets(asked: _Asked) -> list[dict[str, Any]]:
    """Stocks that do not trade any more are inactive."""
    rows = [Views.asset_row(i, asked.history.is_trading(i.symbol)) for i in asked.history.instruments()]
    status = asked.fields.get("status")
    return [row for row in rows if status in (None, row["status"])]


_Answer = Callable[..., Any]
_ROUTES: Final[Mapping[str, _Answer]] = MappingProxyType(
    {
        "/v2/stocks/bars": _bars,
        "/v2/stocks/([^/]+)/bars": _bars_of,
        "/v2/stocks/trades/latest": lambda asked: {"trades": _latest(asked, Print, trade_row)},
        "/v2/stocks/quotes/latest": lambda asked: {"quotes": _latest(asked, Top, quote_row)},
        "/v2/stocks/([^/]+)/trades/latest": lambda asked, name: _latest_of(asked, name, Print, trade_row),
        "/v2/stocks/([^/]+)/quotes/latest": lambda asked, name: _latest_of(asked, name, Top, quote_row),
        "/v2/calendar": lambda asked: Views.calendar(dict(asked.fields)),
        "/v2/clock": lambda asked: Views.clock(asked.now),
        "/v2/assets": _assets,
    }
)
