"""What anybody may ask Bybit of a linear perpetual's market, past and present: `/v5/market/*`.

Source: Bybit V5 documentation, Market. Lists are newest first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Side, Symbol, Timeframe, format_decimal
from nexus_market.candles import slot_millis, to_millis
from nexus_market.instruments import venue_spelling
from nexus_simvenue.bybit import params
from nexus_simvenue.bybit.codes import NotDone, body, wrong
from nexus_simvenue.bybit.market import Quoted, instruments_info, server_time, ticker_row
from nexus_simvenue.bybit.params import Fields, Param
from nexus_simvenue.market.dialect import History
from nexus_simvenue.market.happenings import Mark, Print, Top
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

_BY_INTERVAL: Final = dict(zip(params.INTERVALS, Timeframe, strict=True))
INTERVAL_OF: Final[Mapping[Timeframe, str]] = MappingProxyType(
    {timeframe: interval for interval, timeframe in _BY_INTERVAL.items()}
)
# How far back the last print, top and mark of an instrument are looked for.
_NEWEST: Final = 1_000
_TRADES: Final = 500
_SETTLEMENTS: Final = 200
_CANDLES: Final = 200


@dataclass(frozen=True, slots=True)
class _Asked:
    fields: Fields
    now: datetime
    history: History
    statuses: Mapping[Symbol, str]

    @property
    def instruments(self) -> list[Instrument]:
        """Those that the request names, all without; raises NotDone for a symbol that is not listed."""
        symbol, base = self.fields.get("symbol"), self.fields.get("baseCoin")
        chosen = [
            i
            for i in self.history.instruments()
            if symbol in (None, venue_spelling(i))
            and base in (None, i.base, venue_spelling(i).removesuffix(i.quote))
        ]
        if symbol is not None and not chosen:
            raise wrong("symbol invalid")
        return chosen

    @property
    def named(self) -> tuple[str, Symbol]:
        """The one symbol of the request, as the venue spells it and as we do."""
        [instrument] = self.instruments
        return venue_spelling(instrument), instrument.symbol


class BybitHistory:
    """`statuses`: what an instrument is when it does not trade, `Closed` where nothing is said."""

    def __init__(self, statuses: Mapping[Symbol, str]) -> None:
        self._statuses = statuses

    def get(self, request: HttpRequest, now: datetime, history: History) -> HttpResponse | None:
        known = _ENDPOINTS.get(request.path)
        if known is None or request.method != "GET":
            return None
        wanted, answer = known
        at = to_millis(now)
        try:
            fields = params.read(request, wanted)
            result = answer(_Asked(fields, now, history, self._statuses))
        except NotDone as refused:
            return HttpResponse.json(body(refused.code, str(refused), {}, at), refused.status)
        return HttpResponse.json(body(0, "OK", result, at))


def turnover(volume: str, price: str) -> str:
    """A candle's volume at its close: what was really paid is not recorded."""
    return f"{float(volume) * float(price):.4f}"


def trade_id(spelled: str, number: int) -> str:
    """Trades are named by UUIDs that say nothing of their order."""
    return str(uuid5(NAMESPACE_OID, f"{spelled}/{number}"))


def quoted(mark: Mark, trade: Print | None, top: Top | None) -> Quoted:
    """A ticker by the last mark, print and top; where one is missing the mark price stands in."""
    price = mark.mark_price
    bid, bid_size, ask, ask_size = top[:4] if top is not None else (price, "0", price, "0")
    return Quoted(
        trade.price if trade is not None else price,
        price,
        mark.index_price,
        bid,
        bid_size,
        ask,
        ask_size,
        mark.funding_rate,
        mark.next_funding,
    )


def _time(asked: _Asked) -> dict[str, Any]:
    return server_time(asked.now)


def _instruments(asked: _Asked) -> dict[str, Any]:
    def status_of(instrument: Instrument) -> str:
        if asked.history.is_trading(instrument.symbol):
            return "Trading"
        return asked.statuses.get(instrument.symbol, "Closed")

    return instruments_info(asked.instruments, asked.fields, status_of)


def _candles(asked: _Asked, row: Callable[[Bar], list[str]]) -> dict[str, Any]:
    """A page of at most `limit` slots: up to `end`, else from `start`, else the last; the open candle included."""
    spelled, symbol = asked.named
    timeframe = _BY_INTERVAL[asked.fields["interval"]]
    first, last = _span(asked.fields, slot_millis(timeframe), to_millis(asked.now))
    bars = list(asked.history.bars(symbol, timeframe, first, last))
    standing = asked.history.open_bar(symbol, timeframe)
    if standing is not None and first <= standing.open_time <= last:
        bars.append(standing)
    return {"symbol": spelled, "category": "linear", "list": [row(bar) for bar in reversed(bars)]}


def _span(fields: Fields, slot: int, now: int) -> tuple[int, int]:
    """The open times (ms, both included) of which a page is."""
    reach = (fields.get("limit", _CANDLES) - 1) * slot
    start, end = fields.get("start"), fields.get("end")
    if start is not None and end is None:
        return start, -(-start // slot) * slot + reach
    last = (now if end is None else end) // slot * slot
    return max(last - reach, start or 0), last


def _figures(bar: Bar) -> list[str]:
    """Open time, open, high, low, close."""
    return [str(bar.open_time), *map(format_decimal, bar[1:5])]


def _kline(asked: _Asked) -> dict[str, Any]:
    def row(bar: Bar) -> list[str]:
        volume = format_decimal(bar.volume)
        return [*_figures(bar), volume, turnover(volume, format_decimal(bar.close))]

    return _candles(asked, row)


def _mark_kline(asked: _Asked) -> dict[str, Any]:
    """The traded price stands in for the mark price."""
    return _candles(asked, _figures)


def _tickers(asked: _Asked) -> dict[str, Any]:
    rows = []
    for instrument in asked.instruments:
        told = _told(asked.history, instrument.symbol)
        if told is not None:
            rows.append(ticker_row(venue_spelling(instrument), told))
    return {"category": "linear", "list": rows}


def _told(history: History, symbol: Symbol) -> Quoted | None:
    """By the last of each kind; None before there is a price."""
    newest = history.newest(symbol, _NEWEST)
    mark = next((h for h in reversed(newest) if isinstance(h, Mark)), None)
    trade = next((h for h in reversed(newest) if isinstance(h, Print)), None)
    top = next((h for h in reversed(newest) if isinstance(h, Top)), None)
    if mark is None and trade is not None:
        mark = Mark(trade.price, trade.price, "", 0, trade.at)
    return None if mark is None else quoted(mark, trade, top)


def _recent(asked: _Asked) -> dict[str, Any]:
    spelled, symbol = asked.named
    newest: Sequence[Any] = asked.history.newest(symbol, _NEWEST)
    trades = [h for h in newest if isinstance(h, Print)][-asked.fields.get("limit", _TRADES) :]
    rows = [
        {
            "execId": trade_id(spelled, trade.number),
            "symbol": spelled,
            "price": trade.price,
            "size": trade.quantity,
            "side": "Buy" if trade.taker is Side.BUY else "Sell",
            "time": str(trade.at),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(trade.number),
        }
        for trade in reversed(trades)
    ]
    return {"category": "linear", "list": rows}


def _funding(asked: _Asked) -> dict[str, Any]:
    spelled, symbol = asked.named
    start, end = asked.fields.get("startTime"), asked.fields.get("endTime")
    if start is not None and end is None:
        raise wrong("endTime is required with startTime")
    due = asked.history.funding(symbol, start or 0, to_millis(asked.now) if end is None else end)
    rows = [
        {"symbol": spelled, "fundingRate": rate, "fundingRateTimestamp": str(at)}
        for at, rate in reversed(due[-asked.fields.get("limit", _SETTLEMENTS) :])
    ]
    return {"category": "linear", "list": rows}


_Answer = Callable[[_Asked], dict[str, Any]]
_ENDPOINTS: Final[Mapping[str, tuple[Mapping[str, Param], _Answer]]] = MappingProxyType(
    {
        "/v5/market/time": (params.NOTHING, _time),
        "/v5/market/instruments-info": (params.INSTRUMENTS, _instruments),
        "/v5/market/tickers": (params.TICKERS, _tickers),
        "/v5/market/kline": (params.KLINE, _kline),
        "/v5/market/mark-price-kline": (params.KLINE, _mark_kline),
        "/v5/market/recent-trade": (params.RECENT_TRADES, _recent),
        "/v5/market/funding/history": (params.FUNDING, _funding),
    }
)
