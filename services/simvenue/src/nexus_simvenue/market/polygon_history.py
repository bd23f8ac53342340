"""What Polygon's REST API answers: aggregates over pages, whether the market is open, its next holidays.

Source: Polygon documentation, Aggregates, Market Status, Market Holidays. Prices are raw, whatever `adjusted` says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, format_decimal
from nexus_data.sessions import NEW_YORK, Session, us_sessions
from nexus_market.candles import to_millis
from nexus_simvenue.market.alpaca_rows import bar_row
from nexus_simvenue.market.dialect import History
from nexus_simvenue.market.keys import is_service_key
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

_RANGE: Final = re.compile(r"/v2/aggs/ticker/([^/]+)/range/(\d+)/(\w+)/([^/]+)/([^/]+)")
_TIMEFRAMES: Final[Mapping[tuple[int, str], Timeframe]] = MappingProxyType(
    {
        (1, "minute"): Timeframe.M1,
        (5, "minute"): Timeframe.M5,
        (15, "minute"): Timeframe.M15,
        (60, "minute"): Timeframe.H1,
        (1, "hour"): Timeframe.H1,
        (240, "minute"): Timeframe.H4,
        (4, "hour"): Timeframe.H4,
    }
)
_MOST: Final = 50_000
_USUAL: Final = 5_000
_FULL_DAY: Final = timedelta(hours=6, minutes=30)
_AHEAD: Final = timedelta(days=365)


class _Refused(Exception):
    """Answered with this status and an error text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class PolygonHistory:
    """The key is in the query (`apiKey`) or in the header (`Authorization: Bearer`)."""

    def get(self, request: HttpRequest, now: datetime, history: History) -> HttpResponse | None:
        if request.method != "GET" or not request.path.startswith(("/v2/aggs/", "/v1/marketstatus/")):
            return None
        request_id = sha256(f"{request.path}?{request.query}".encode()).hexdigest()[:32]
        try:
            _check_key(request)
            return HttpResponse.json(_answer(request, request_id, now, history))
        except _Refused as refused:
            error = {"status": "ERROR", "request_id": request_id, "error": str(refused)}
            return HttpResponse.json(error, refused.status)


def _check_key(request: HttpRequest) -> None:
    header = request.headers.get("authorization", "").removeprefix("Bearer ")
    key = request.query_fields().get("apiKey", header)
    if not key:
        raise _Refused(401, "API Key was not provided")
    if not is_service_key(key):
        raise _Refused(401, "Unknown API Key")


def _answer(request: HttpRequest, request_id: str, now: datetime, history: History) -> Any:
    match request.path:
        case "/v1/marketstatus/now":
            return _status(now)
        case "/v1/marketstatus/upcoming":
            return _upcoming(now)
    asked = _RANGE.fullmatch(request.path)
    if asked is None:
        raise _Refused(404, "404 page not found")
    return {**_aggregates(request, asked, now, history), "request_id": request_id}


# -- aggregates -------------------------------------------------------------------------------------


def _aggregates(
    request: HttpRequest, asked: re.Match[str], now: datetime, history: History
) -> dict[str, Any]:
    """Oldest first; `limit` bars a page, and where the next page is."""
    symbol, times, span, begins, ends = asked.groups()
    timeframe = _TIMEFRAMES.get((int(times), span))
    if timeframe is None:
        raise _Refused(400, f"{times} {span} is no timespan that is played")
    first, last = _moment(begins, ends=False), min(_moment(ends, ends=True), to_millis(now))
    limit = _limit(request.query_fields().get("limit", str(_USUAL)))
    bars = history.bars(Symbol(symbol), timeframe, first, last)
    page = [_row(bar) for bar in bars[:limit]]
    document: dict[str, Any] = {
        "ticker": symbol,
        "queryCount": len(page),
        "resultsCount": len(page),
        "adjusted": request.query_fields().get("adjusted", "true") == "true",
        "status": "OK",
        "count": len(page),
    }
    if page:
        document["results"] = page
    if len(bars) > limit:
        path = f"/v2/aggs/ticker/{symbol}/range/{times}/{span}/{bars[limit].open_time}/{ends}"
        document["next_url"] = f"http://{request.headers.get('host', '')}{path}?limit={limit}"
    return document


def _moment(text: str, *, ends: bool) -> int:
    """Milliseconds as they are; a day from its midnight in New York to the last millisecond of it."""
    if text.isdigit():
        return int(text)
    try:
        day = date.fromisoformat(text) + timedelta(days=1 if ends else 0)
    except ValueError:
        raise _Refused(400, f"could not parse the time {text}: use YYYY-MM-DD or milliseconds") from None
    return to_millis(datetime.combine(day, time(), NEW_YORK)) - (1 if ends else 0)


def _limit(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST:
        raise _Refused(400, f"limit {text} is not between 1 and {_MOST}")
    return int(text)


def _row(bar: Bar) -> dict[str, Any]:
    """How many trades a bar of history had (`n`) is not recorded."""
    row = bar_row([format_decimal(figure) for figure in bar[1:]], None)
    del row["n"]
    return {"t": bar.open_time, **row}


# -- the market -------------------------------------------------------------------------------------


def _status(now: datetime) -> dict[str, Any]:
    state, early, late = _state(now)
    return {
        "afterHours": late,
        "currencies": {"crypto": "open", "fx": "open"},
        "earlyHours": early,
        "exchanges": {"nasdaq": state, "nyse": state, "otc": state},
        "market": state,
        "serverTime": now.astimezone(NEW_YORK).isoformat(timespec="seconds"),
    }


def _state(now: datetime) -> tuple[str, bool, bool]:
    """Open, closed or extended hours; whether before the session, whether behind it."""
    if us_sessions().is_open(now):
        return "open", False, False
    day = now.astimezone(NEW_YORK).date()
    for session in us_sessions().between(day, day):
        early = session.opens - timedelta(hours=5, minutes=30) <= now < session.opens
        late = session.closes <= now < session.closes + timedelta(hours=4)
        return "extended-hours" if early or late else "closed", early, late
    return "closed", False, False


def _upcoming(now: datetime) -> list[dict[str, str]]:
    """Weekdays without a session, and early closes, of the next year; they have no names here."""
    first = now.astimezone(NEW_YORK).date()
    sessions = {session.day: session for session in us_sessions().between(first, first + _AHEAD)}
    rows = []
    for day in (first + timedelta(days=number) for number in range(_AHEAD.days + 1)):
        special = _special(sessions.get(day)) if day.weekday() < 5 else None
        if special is not None:
            named = {"name": "Holiday", "date": day.isoformat(), **special}
            rows += [{"exchange": exchange, **named} for exchange in ("NYSE", "NASDAQ")]
    return rows


def _special(session: Session | None) -> dict[str, str] | None:
    """What is special on a weekday; None on one like others."""
    if session is None:
        return {"status": "closed"}
    if session.closes - session.opens >= _FULL_DAY:
        return None
    opens, closes = (f"{at:%Y-%m-%dT%H:%M:%S}.000Z" for at in (session.opens, session.closes))
    return {"status": "early-close", "open": opens, "close": closes}
