"""Binance USDT-M public REST endpoints over what was played.

Source: Market Data endpoints (Kline/Candlestick Data, Recent Trades List, Symbol Order Book Ticker, Mark Price,
Get Funding Rate History), with their weights and limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Side, Symbol, Timeframe, format_decimal
from nexus_common.runtime.ports import Clock
from nexus_simvenue.binance.errors import Wrong, answer
from nexus_simvenue.binance.limits import WEIGHT_MAX, Banned, Limits
from nexus_simvenue.binance.market import exchange_info, premium_row
from nexus_simvenue.binance.parameters import Params, millis, only, sent
from nexus_simvenue.market.dialect import History
from nexus_simvenue.market.happenings import Mark, Print, Top
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

KLINES_MAX: Final = 1_500
_INTERVALS: Final = frozenset(
    ["1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"]
)
_LOOKED_THROUGH: Final = 1_500
T = TypeVar("T", Print, Top, Mark)


@dataclass(frozen=True, slots=True)
class _Asked:
    params: Params
    now: int
    history: History

    def symbol(self) -> Symbol:
        """Raises Wrong for one that is not listed, or is no more."""
        symbol = Symbol(self.params.symbol())
        if not self.history.is_trading(symbol):
            raise Wrong(-1122, text="Invalid symbol status.")
        return symbol

    def symbols(self) -> list[Symbol]:
        """The one that is asked for, or all that trade."""
        if "symbol" in self.params:
            return [self.symbol()]
        listed = [each.symbol for each in self.history.instruments()]
        return [symbol for symbol in listed if self.history.is_trading(symbol)]

    def newest(self, symbol: Symbol, kind: type[T]) -> T | None:
        kept = reversed(self.history.newest(symbol, _LOOKED_THROUGH))
        return next((each for each in kept if isinstance(each, kind)), None)

    def one_or_all(self, rows: list[dict[str, Any]]) -> Any:
        return rows[0] if "symbol" in self.params and rows else rows


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """`answer` gives None where the account side knows it better: before anything has happened."""

    answer: Callable[[_Asked], Any]
    reads: tuple[str, ...]
    weight: Callable[[Params], int]


class BinanceHistory:
    """Answers what is asked; counts weights by address and the wall's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits = Limits()
        span = ("symbol", "startTime", "endTime", "limit")
        self._endpoints = {
            "/fapi/v1/klines": _Endpoint(_klines, (*span, "interval"), _klines_weight),
            "/fapi/v1/exchangeInfo": _Endpoint(_exchange_info, (), lambda _: 1),
            "/fapi/v1/trades": _Endpoint(_trades, ("symbol", "limit"), lambda _: 5),
            "/fapi/v1/ticker/bookTicker": _Endpoint(_book_tickers, ("symbol",), _by_symbol(2, 5)),
            "/fapi/v1/premiumIndex": _Endpoint(_premium_index, ("symbol",), _by_symbol(1, 10)),
            "/fapi/v1/fundingRate": _Endpoint(_funding_rates, span, lambda _: 1),
        }

    def get(self, request: HttpRequest, now: datetime, history: History) -> HttpResponse | None:
        endpoint = self._endpoints.get(request.path)
        if endpoint is None or request.method != "GET":
            return None
        headers: dict[str, str] = {}
        try:
            fields = sent(request)
            params = Params(fields, frozenset(str(each.symbol) for each in history.instruments()))
            used = self._limits.spend(request.peer, endpoint.weight(params), self._clock.now())
            headers["X-MBX-USED-WEIGHT-1M"] = str(used)
            only(fields, endpoint.reads)
            found = endpoint.answer(_Asked(params, millis(now), history))
        except Banned as banned:
            return self._limited(banned)
        except Wrong as wrong:
            return answer(wrong, headers)
        return None if found is None else HttpResponse.json(found, headers=headers)

    def _limited(self, banned: Banned) -> HttpResponse:
        left = max(1, round((banned.until - self._clock.now()).total_seconds()))
        refused = answer(Wrong(-1003, "127.0.0.1", WEIGHT_MAX), {"Retry-After": str(left)})
        return HttpResponse(banned.status, refused.body, refused.headers)


def _by_symbol(one: int, every: int) -> Callable[[Params], int]:
    return lambda params: one if "symbol" in params else every


def _klines_weight(params: Params) -> int:
    """By `limit`: below 100, below 500, up to 1000, above."""
    limit = params.integer("limit") or 500
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1_000 else 10


def _span(params: Params) -> tuple[int | None, int | None]:
    start, end = params.integer("startTime"), params.integer("endTime")
    if start is not None and end is not None and start > end:
        raise Wrong(-1023)
    return start, end


def _klines(asked: _Asked) -> list[list[Any]]:
    """The last one may still be open. From `startTime` on if it is given, else up to `endTime`."""
    params, symbol = asked.params, asked.symbol()
    interval = params.needed("interval")
    if interval not in _INTERVALS:
        raise Wrong(-1120, text="Invalid interval.")
    start, end = _span(params)
    limit = params.integer("limit", 1, KLINES_MAX) or 500
    if interval not in tuple(Timeframe):
        return []
    timeframe = Timeframe(interval)
    slot = timeframe.seconds * 1_000
    last = asked.now if end is None else end
    first = last - limit * slot if start is None else start
    bars = list(asked.history.bars(symbol, timeframe, first, last))
    open_bar = asked.history.open_bar(symbol, timeframe)
    if open_bar is not None and first <= open_bar.open_time <= last:
        bars.append(open_bar)
    chosen = bars[-limit:] if start is None else bars[:limit]
    return [_row(bar, slot) for bar in chosen]


def _row(bar: Bar, slot: int) -> list[Any]:
    opened, high, low, close, volume = map(format_decimal, bar[1:])
    quoted = quote_volume(close, volume)
    return [
        *(bar.open_time, opened, high, low, close, volume, bar.open_time + slot - 1, quoted),
        *(0, "0", "0", "0"),
    ]


def quote_volume(price: str, volume: str) -> str:
    """As if all had been traded at one price."""
    return f"{float(price) * float(volume):.8f}"


def _exchange_info(asked: _Asked) -> dict[str, Any]:
    """An instrument that vanished is being settled."""
    history = asked.history
    statuses = {
        each.symbol: "TRADING" if history.is_trading(each.symbol) else "SETTLING"
        for each in history.instruments()
    }
    return exchange_info(history.instruments(), asked.now, statuses)


def _trades(asked: _Asked) -> list[dict[str, Any]]:
    symbol = asked.symbol()
    limit = asked.params.integer("limit", 1, 1_000) or 500
    kept = asked.history.newest(symbol, _LOOKED_THROUGH)
    prints = [each for each in kept if isinstance(each, Print)]
    return [
        {
            "id": each.number,
            "price": each.price,
            "qty": each.quantity,
            "quoteQty": format_decimal(Decimal(each.price) * Decimal(each.quantity)),
            "time": each.at,
            "isBuyerMaker": each.taker is Side.SELL,
        }
        for each in prints[-limit:]
    ]


def _book_tickers(asked: _Asked) -> Any:
    tops = [(symbol, asked.newest(symbol, Top)) for symbol in asked.symbols()]
    rows = [
        {
            "symbol": symbol,
            "bidPrice": top.bid,
            "bidQty": top.bid_quantity,
            "askPrice": top.ask,
            "askQty": top.ask_quantity,
            "time": top.at,
            "lastUpdateId": top.number,
        }
        for symbol, top in tops
        if top is not None
    ]
    return asked.one_or_all(rows)


def _premium_index(asked: _Asked) -> Any:
    marks = [(symbol, asked.newest(symbol, Mark)) for symbol in asked.symbols()]
    rows = [
        premium_row(symbol, mark.mark_price, mark.funding_rate, mark.next_funding, mark.at)
        for symbol, mark in marks
        if mark is not None
    ]
    return asked.one_or_all(rows) if rows else None


def _funding_rates(asked: _Asked) -> list[dict[str, Any]]:
    """Oldest first from `startTime` on, else the newest; the mark price of then is not kept."""
    start, end = _span(asked.params)
    limit = asked.params.integer("limit", 1, 1_000) or 100
    last = asked.now if end is None else end
    rows = [
        {"symbol": symbol, "fundingRate": rate, "fundingTime": at, "markPrice": ""}
        for symbol in asked.symbols()
        for at, rate in asked.history.funding(symbol, start or 0, last)
    ]
    rows.sort(key=lambda row: int(str(row["fundingTime"])))
    return rows[-limit:] if start is None else rows[:limit]
