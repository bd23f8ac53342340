"""What Polygon answers about the past: aggregates.

Source: Polygon (Massive) documentation, Custom Bars (`/v2/aggs/ticker/.../range/...`), timestamps in milliseconds.
Bars of several hours begin with New York's day, so those of four hours are folded from hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

import msgspec

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_ingest.venues.feed import FeedDown
from nexus_ingest.venues.http import HttpQuestions
from nexus_ingest.venues.stocks import Figure, bar
from nexus_market.candles import Ohlcv, fold, series_of, slot_millis

_SPANS: Final = MappingProxyType(
    {
        Timeframe.M1: "1/minute",
        Timeframe.M5: "5/minute",
        Timeframe.M15: "15/minute",
        Timeframe.H1: "1/hour",
    }
)
_BARS_A_PAGE: Final = 50_000
_OK: Final = 200


class _Row(
    msgspec.Struct, rename={"at": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
):
    at: int
    open: Figure
    high: Figure
    low: Figure
    close: Figure
    volume: Figure


class _Page(msgspec.Struct):
    results: Sequence[_Row] = ()
    next_url: str | None = None


class PolygonBars:
    def __init__(self, questions: HttpQuestions) -> None:
        self._questions = questions

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        """See Feed.bars; raw prices, as they were traded."""
        if timeframe not in _SPANS:
            ends = last + slot_millis(timeframe)
            return _folded(await self.bars(symbol, Timeframe.H1, first, ends - 1), timeframe, ends)
        path = f"/v2/aggs/ticker/{symbol}/range/{_SPANS[timeframe]}/{first}/{last}"
        fields = {"adjusted": "false", "sort": "asc", "limit": str(_BARS_A_PAGE)}
        bars: list[Bar] = []
        page = await self._page(path, fields)
        while True:
            bars += [bar(timeframe, row.at, _figures(row)) for row in page.results]
            if page.next_url is None:
                return [each for each in bars if first <= each.open_time <= last]
            # Whatever host it names, the key goes to ours alone.
            following = urlsplit(page.next_url)
            page = await self._page(f"{following.path}?{following.query}", {})

    async def close(self) -> None:
        await self._questions.close()

    async def _page(self, path: str, fields: dict[str, str]) -> _Page:
        answer = await self._questions.get(path, fields)
        if answer.status != _OK:
            said = answer.body[:200].decode(errors="replace")
            raise FeedDown(f"polygon: aggregates refused with status {answer.status}: {said}")
        try:
            return msgspec.json.decode(answer.body, type=_Page)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FeedDown(f"polygon: aggregates are not as documented: {error}") from None


def _figures(row: _Row) -> tuple[Figure, ...]:
    return row.open, row.high, row.low, row.close, row.volume


def _folded(hours: Sequence[Bar], timeframe: Timeframe, until: int) -> list[Bar]:
    base = series_of(Timeframe.H1, [hour.open_time for hour in hours], [Ohlcv(*hour[1:]) for hour in hours])
    series = fold(base, timeframe, until)
    rows = series.bars(0, len(series.open_time))
    return [Bar(at, *row) for at, row in zip(series.open_time.tolist(), rows, strict=True)]
