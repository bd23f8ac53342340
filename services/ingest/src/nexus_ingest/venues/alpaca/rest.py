"""What Alpaca answers about the past, its clock and its calendar.

Source: Alpaca documentation, Historical Bars (`/v2/stocks/bars`), Get Market Clock and Get Market Calendar. Bars
come from the data API, clock, calendar and assets from the trading API; bars of all timeframes are cut on UTC.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, date, datetime
from datetime import time as clock
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from nexus_common.contracts.market import Bar, SessionScheduled
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_data.sessions import NEW_YORK, Session, compare, us_sessions
from nexus_ingest.venues.alpaca.listing import read_listing
from nexus_ingest.venues.feed import FeedDown, Listing
from nexus_ingest.venues.http import HttpQuestions
from nexus_ingest.venues.stocks import Figure, Moment, bar
from nexus_market.candles import from_millis, to_millis

_TIMEFRAMES: Final = MappingProxyType(
    {
        Timeframe.M1: "1Min",
        Timeframe.M5: "5Min",
        Timeframe.M15: "15Min",
        Timeframe.H1: "1Hour",
        Timeframe.H4: "4Hour",
    }
)
_BARS_A_PAGE: Final = 10_000
_OK: Final = 200
T = TypeVar("T")


class _Row(
    msgspec.Struct, rename={"at": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
):
    at: Moment
    open: Figure
    high: Figure
    low: Figure
    close: Figure
    volume: Figure


class _Page(msgspec.Struct):
    bars: dict[str, list[_Row]] | None
    next_page_token: str | None = None


class _Clock(msgspec.Struct):
    timestamp: Moment


class _Day(msgspec.Struct):
    """Hours are New York's, as `09:30`."""

    date: date
    open: str
    close: str


class AlpacaBars:
    """Bars of one of Alpaca's feeds, `iex` or `sip`."""

    def __init__(self, data: HttpQuestions, feed: str) -> None:
        self._data, self._feed = data, feed

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        """See Feed.bars; raw prices, as they were traded."""
        fields = {
            "symbols": str(symbol),
            "timeframe": _TIMEFRAMES[timeframe],
            "start": from_millis(first).isoformat(),
            "end": from_millis(last).isoformat(),
            "limit": str(_BARS_A_PAGE),
            "adjustment": "raw",
            "sort": "asc",
            "feed": self._feed,
        }
        bars: list[Bar] = []
        while True:
            page = await _asked(self._data, "/v2/stocks/bars", fields, _Page)
            rows = (page.bars or {}).get(symbol, [])
            bars += [bar(timeframe, to_millis(row.at), _figures(row)) for row in rows]
            if not page.next_page_token:
                return [each for each in bars if first <= each.open_time <= last]
            fields["page_token"] = page.next_page_token

    async def close(self) -> None:
        await self._data.close()


class AlpacaTrading:
    """What the venue says of itself; `symbols` are the stocks of its listing that are kept."""

    def __init__(self, trading: HttpQuestions, symbols: Collection[Symbol]) -> None:
        self._trading, self._symbols = trading, symbols

    async def server_time(self) -> tuple[datetime, int]:
        """See Feed.server_time."""
        began = time.monotonic()
        clock = await _asked(self._trading, "/v2/clock", {}, _Clock)
        return clock.timestamp, round((time.monotonic() - began) * 1_000)

    async def listing(self) -> Listing:
        """See Feed.listing."""
        fields = {"status": "active", "asset_class": "us_equity"}
        return read_listing(
            await _asked(self._trading, "/v2/assets", fields, list[dict[str, Any]]), self._symbols
        )

    async def sessions(self, first: date, last: date) -> tuple[SessionScheduled, ...]:
        """See Feed.sessions; the second source is told where it differs."""
        fields = {"start": first.isoformat(), "end": last.isoformat()}
        days = await _asked(self._trading, "/v2/calendar", fields, list[_Day])
        told = [_session(day) for day in days if first <= day.date <= last]
        return compare(Venue.ALPACA, told, us_sessions().between(first, last), first, last)

    async def close(self) -> None:
        await self._trading.close()


async def _asked(questions: HttpQuestions, path: str, fields: dict[str, str], kind: type[T]) -> T:
    """Raises FeedDown for a refusal, and for an answer that is not as documented."""
    answer = await questions.get(path, fields)
    if answer.status != _OK:
        said = answer.body[:200].decode(errors="replace")
        raise FeedDown(f"alpaca: {path} refused with status {answer.status}: {said}")
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FeedDown(f"alpaca: {path} is not as documented: {error}") from None


def _figures(row: _Row) -> tuple[Figure, ...]:
    return row.open, row.high, row.low, row.close, row.volume


def _session(day: _Day) -> Session:
    try:
        opens, closes = (
            datetime.combine(day.date, clock.fromisoformat(hour), NEW_YORK) for hour in (day.open, day.close)
        )
    except ValueError:
        raise FeedDown(f"alpaca: hours {day.open!r} to {day.close!r} of {day.date} are none") from None
    return Session(day.date, opens.astimezone(UTC), closes.astimezone(UTC))
