"""Funding that was settled, as venues tell it by REST.

Source: Binance USDⓈ-M Futures, Get Funding Rate History (at most 1,000, oldest first); Bybit V5, Get Funding Rate
History (at most 200 before `endTime`, newest first).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from nexus_common.contracts.values import Symbol
from nexus_ingest.venues.feed import FeedDown, Settled
from nexus_ingest.venues.rest import Questions

BINANCE_PAGE: Final = 1_000
BYBIT_PAGE: Final = 200


async def binance_settlements(questions: Questions, symbol: Symbol, first: int, last: int) -> list[Settled]:
    """From `first` to `last` (ms, both included), oldest first; raises FeedDown."""
    found: list[Settled] = []
    while first <= last:
        params = {"symbol": symbol, "startTime": first, "endTime": last, "limit": BINANCE_PAGE}
        rows = await questions.ask("fapiPublicGetFundingRate", params)
        page = _read(rows, "fundingTime")
        found += page
        if len(page) < BINANCE_PAGE:
            break
        first = page[-1].at + 1
    return found


async def bybit_settlements(questions: Questions, spelled: str, first: int, last: int) -> list[Settled]:
    """From `first` to `last` (ms, both included), oldest first; raises FeedDown."""
    found: list[Settled] = []
    while first <= last:
        params = {
            "category": "linear",
            "symbol": spelled,
            "startTime": first,
            "endTime": last,
            "limit": BYBIT_PAGE,
        }
        answer = await questions.ask("publicGetV5MarketFundingHistory", params)
        result = answer.get("result") if isinstance(answer, Mapping) else None
        page = _read(result.get("list") if isinstance(result, Mapping) else None, "fundingRateTimestamp")
        found = page + found
        if len(page) < BYBIT_PAGE:
            break
        last = page[0].at - 1
    return found


def _read(rows: Any, time_field: str) -> list[Settled]:
    if not isinstance(rows, list):
        raise FeedDown(f"funding history is no list: {str(rows)[:100]}")
    try:
        page = sorted(Settled(int(row[time_field]), float(row["fundingRate"])) for row in rows)
    except (KeyError, TypeError, ValueError) as error:
        raise FeedDown(f"funding history cannot be read: {error!r}") from error
    if not all(math.isfinite(each.rate) for each in page):
        raise FeedDown("funding history has a rate that is no number")
    return page
