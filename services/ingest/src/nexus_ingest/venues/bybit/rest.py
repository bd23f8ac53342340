"""Bybit's V5 history, clock and metadata of linear perpetuals by REST.

Source: Bybit V5 documentation, Market: Get Kline (at most 1,000, newest first), Get Bybit Server Time, Get
Instruments Info, Get Risk Limit; an address may ask 600 times in 5 seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ccxt.async_support import bybit

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.settings_sections import VenueSettings
from nexus_ingest.domain.readings import UnreadableFrame
from nexus_ingest.venues.bybit.frames import INTERVALS
from nexus_ingest.venues.bybit.listing import read_listing
from nexus_ingest.venues.feed import FeedDown, Latest, Listing, Settled
from nexus_ingest.venues.listing import UnreadableRow
from nexus_ingest.venues.rest import Klines, Overheard, Questions, bar, rows
from nexus_ingest.venues.settlements import bybit_settlements
from nexus_ingest.venues.texts import check_prices
from nexus_market.candles import to_millis

PAGE: Final = 1_000
# 300 questions of ccxt's cost of 5: the other half is the executor's, which may have the same address.
_WEIGHT: Final = 1_500
_CATEGORY: Final = "linear"
_PAGES_MAX: Final = 100


class _Vendor(Overheard, bybit):  # type: ignore[misc]
    pass


class BybitRest:
    """`spelled` gives the venue's names by ours."""

    def __init__(self, at: VenueSettings, spelled: Mapping[Symbol, str]) -> None:
        self._questions = Questions(Venue.BYBIT, _Vendor, at, _WEIGHT, 5.0)
        self._spelled = spelled
        self._time_url = f"{at.rest_url.rstrip('/')}/v5/market/time"
        self._klines = Klines(PAGE, self._page, self._now)
        self.bars = self._klines.bars
        self.close = self._questions.close

    async def server_time(self) -> tuple[datetime, int]:
        return await self._questions.time(
            self._time_url, lambda answer: int(answer["result"]["timeNano"]) // 1_000_000
        )

    async def settlements(self, symbol: Symbol, first: int, last: int) -> list[Settled]:
        """Funding from `first` to `last` (ms); raises FeedDown."""
        return await bybit_settlements(self._questions, self._spelled.get(symbol, symbol), first, last)

    async def latest(self, symbol: Symbol) -> Latest:
        """Source: Get Tickers, whose answer carries the time at which it was given. Raises FeedDown."""
        params = {"category": _CATEGORY, "symbol": self._spelled.get(symbol, symbol)}
        answer = await self._questions.ask("publicGetV5MarketTickers", params)
        try:
            last = rows(answer["result"]["list"])[0]
            check_prices(last["lastPrice"], last["markPrice"])
            return Latest(last["lastPrice"], int(answer["time"]), last["markPrice"])
        except (UnreadableFrame, TypeError, ValueError, LookupError) as error:
            raise FeedDown(f"bybit's price of {symbol} cannot be read: {error!r}") from error

    async def listing(self) -> Listing:
        """Contracts that trade, and those that will."""
        instruments = await self._pages("publicGetV5MarketInstrumentsInfo", limit=1_000)
        announced = await self._pages("publicGetV5MarketInstrumentsInfo", limit=1_000, status="PreLaunch")
        limits = await self._pages("publicGetV5MarketRiskLimit")
        try:
            return read_listing([*instruments, *announced], limits)
        except UnreadableRow as error:
            raise FeedDown(f"bybit's instruments cannot be read: {error}") from error

    async def _pages(self, endpoint: str, **params: Any) -> list[Any]:
        pages: list[Any] = []
        cursor = ""
        while len(pages) < _PAGES_MAX:
            result = await self._result(endpoint, {**params, **({"cursor": cursor} if cursor else {})})
            pages.append(result)
            cursor = str(result.get("nextPageCursor") or "")
            if not cursor:
                return pages
        raise FeedDown(f"bybit does not come to an end of {endpoint} in {_PAGES_MAX} pages")

    async def _result(self, endpoint: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await self._questions.ask(endpoint, {"category": _CATEGORY, **params})
        result = answer.get("result") if isinstance(answer, Mapping) else None
        if not isinstance(result, Mapping):
            raise FeedDown(f"bybit answers {endpoint} without a result: {str(answer)[:100]}")
        return result

    async def _now(self) -> int:
        return to_millis((await self.server_time())[0])

    async def _page(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        params = {
            "symbol": self._spelled.get(symbol, symbol),
            "interval": INTERVALS[timeframe],
            "start": first,
            "end": last,
            "limit": PAGE,
        }
        result = await self._result("publicGetV5MarketKline", params)
        try:
            return [bar(timeframe, int(row[0]), row[1:6]) for row in rows(result["list"])]
        except (UnreadableFrame, TypeError, ValueError, LookupError) as error:
            raise FeedDown(f"bybit's klines of {symbol} {timeframe} cannot be read: {error}") from error
