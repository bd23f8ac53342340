"""Binance's USDT-M history, clock and metadata by REST.

Source: Binance documentation, USDⓈ-M Futures: Kline Candlestick Data (weight by limit: 1, 2, 5, 10), Check
Server Time, Exchange Information; an address may use 2,400 a minute.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from ccxt.async_support import binanceusdm

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.settings_sections import VenueSettings
from nexus_ingest.domain.readings import UnreadableFrame
from nexus_ingest.venues.binance.listing import read_listing
from nexus_ingest.venues.feed import FeedDown, Latest, Listing, Settled
from nexus_ingest.venues.listing import UnreadableRow
from nexus_ingest.venues.rest import Klines, Overheard, Questions, bar, rows
from nexus_ingest.venues.settlements import binance_settlements
from nexus_ingest.venues.texts import check_prices
from nexus_market.candles import to_millis

PAGE: Final = 1_500
# The rest of the minute's 2,400 is the executor's, which may have the same address.
WEIGHT: Final = 1_500


class _Vendor(Overheard, binanceusdm):  # type: ignore[misc]
    pass


class BinanceRest:
    """`weight` is what may be used a minute."""

    def __init__(self, at: VenueSettings, weight: int = WEIGHT) -> None:
        self._questions = Questions(Venue.BINANCE, _Vendor, at, weight, 60.0)
        self._time_url = f"{at.rest_url.rstrip('/')}/fapi/v1/time"
        self._klines = Klines(PAGE, self._page, self._now)
        self.bars = self._klines.bars
        self.close = self._questions.close

    async def server_time(self) -> tuple[datetime, int]:
        return await self._questions.time(self._time_url, lambda answer: int(answer["serverTime"]))

    async def settlements(self, symbol: Symbol, first: int, last: int) -> list[Settled]:
        """Funding from `first` to `last` (ms); raises FeedDown."""
        return await binance_settlements(self._questions, symbol, first, last)

    async def latest(self, symbol: Symbol) -> Latest:
        """Source: Recent Trades List (weight 5), Mark Price (weight 1). Raises FeedDown."""
        trades, mark = await asyncio.gather(
            self._questions.ask("fapiPublicGetTrades", {"symbol": symbol, "limit": 1}),
            self._questions.ask("fapiPublicGetPremiumIndex", {"symbol": symbol}),
        )
        try:
            last = rows(trades)[-1]
            check_prices(last["price"], mark["markPrice"])
            return Latest(last["price"], int(last["time"]), mark["markPrice"])
        except (UnreadableFrame, TypeError, ValueError, LookupError) as error:
            raise FeedDown(f"binance's price of {symbol} cannot be read: {error!r}") from error

    async def listing(self) -> Listing:
        answer = await self._questions.ask("fapiPublicGetExchangeInfo", {})
        try:
            return read_listing(answer)
        except UnreadableRow as error:
            raise FeedDown(f"binance's instruments cannot be read: {error}") from error

    async def _now(self) -> int:
        return to_millis((await self.server_time())[0])

    async def _page(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        count = (last - first) // (timeframe.seconds * 1_000) + 1
        params = {
            "symbol": symbol,
            "interval": timeframe,
            "startTime": first,
            "endTime": last,
            "limit": count,
        }
        answer = await self._questions.ask("fapiPublicGetKlines", params)
        try:
            return [bar(timeframe, row[0], row[1:6]) for row in rows(answer)]
        except (UnreadableFrame, TypeError, LookupError) as error:
            raise FeedDown(f"binance's klines of {symbol} {timeframe} cannot be read: {error}") from error
