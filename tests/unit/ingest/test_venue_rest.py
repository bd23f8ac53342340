"""Questions by REST to a venue that is busy, broken, or talks nonsense."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from nexus_common.contracts.values import Symbol, Timeframe
from nexus_common.runtime.settings_sections import BinanceSettings, BybitSettings
from nexus_ingest.venues.binance.rest import BinanceRest
from nexus_ingest.venues.bybit.rest import BybitRest
from nexus_ingest.venues.feed import FeedDown

BTC = Symbol("BTCUSDT")
MINUTE = 60_000
NOW = 1_748_822_400_000
CLOCK = {"serverTime": NOW, "retCode": 0, "result": {"timeNano": str(NOW * 1_000_000)}}
ROW = ["1.0", "2.0", "0.5", "1.5", "10"]


class Venue:
    """Answers with what it is given, in turn, the last again and again; the clock always goes."""

    def __init__(self, *answers: Any, headers: dict[str, str] | None = None, clock: Any = CLOCK) -> None:
        self.asked: list[dict[str, str]] = []
        self._answers = list(answers)
        self._headers = headers
        self._clock = clock

    async def handle(self, request: web.Request) -> web.Response:
        if request.path.endswith("/time"):
            return web.json_response(self._clock)
        self.asked.append(dict(request.query))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, int):
            return web.Response(status=answer, text="<html>busy</html>", headers=self._headers)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(text=text, content_type="application/json")


@asynccontextmanager
async def binance(venue: Venue) -> AsyncIterator[BinanceRest]:
    async with served(venue) as url:
        rest = BinanceRest(BinanceSettings(rest_url=url))
        try:
            yield rest
        finally:
            await rest.close()


@asynccontextmanager
async def bybit(venue: Venue) -> AsyncIterator[BybitRest]:
    async with served(venue) as url:
        rest = BybitRest(BybitSettings(rest_url=url), {})
        try:
            yield rest
        finally:
            await rest.close()


@asynccontextmanager
async def served(venue: Venue) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", venue.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def row(minutes_ago: int, **changes: str) -> list[Any]:
    figures = dict(zip(("open", "high", "low", "close", "volume"), ROW, strict=True))
    return [NOW - minutes_ago * MINUTE, *{**figures, **changes}.values(), 0]


def page_of(*rows: list[Any]) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": {"list": [[str(each[0]), *each[1:6]] for each in rows]}}


async def test_as_many_bars_are_asked_for_as_there_may_be_so_that_little_weighs_little() -> None:
    venue = Venue([row(3), row(2)])
    async with binance(venue) as rest:
        bars = await rest.bars(BTC, Timeframe.M1, NOW - 3 * MINUTE, NOW - 2 * MINUTE)
    assert [bar.open_time for bar in bars] == [NOW - 3 * MINUTE, NOW - 2 * MINUTE]
    [asked] = venue.asked
    assert (asked["limit"], asked["interval"]) == ("2", "1m")


async def test_a_bar_whose_end_the_venues_clock_has_not_passed_is_no_bar() -> None:
    venue = Venue([row(1), row(0)])
    async with binance(venue) as rest:
        bars = await rest.bars(BTC, Timeframe.M1, NOW - MINUTE, NOW + MINUTE)
        assert await rest.bars(BTC, Timeframe.M1, NOW, NOW + MINUTE) == []
    assert [bar.open_time for bar in bars] == [NOW - MINUTE]
    assert len(venue.asked) == 1


async def test_newest_first_comes_out_oldest_first() -> None:
    async with bybit(Venue(page_of(row(1), row(2), row(3)))) as rest:
        bars = await rest.bars(BTC, Timeframe.M1, NOW - 3 * MINUTE, NOW - MINUTE)
    assert [bar.open_time for bar in bars] == [NOW - 3 * MINUTE, NOW - 2 * MINUTE, NOW - MINUTE]


async def test_what_breaks_once_is_asked_again() -> None:
    venue = Venue(502, [row(1)])
    async with binance(venue) as rest:
        assert len(await rest.bars(BTC, Timeframe.M1, NOW - MINUTE, NOW - MINUTE)) == 1
    assert len(venue.asked) == 2


@pytest.mark.parametrize("status", [429, 418])
async def test_a_venue_that_wants_quiet_is_not_asked_until_its_time_is_over(status: int) -> None:
    venue = Venue(status, headers={"Retry-After": "30"})
    async with binance(venue) as rest:
        for _ in range(2):
            with pytest.raises(FeedDown, match="wants no requests for 30 seconds"):
                await rest.bars(BTC, Timeframe.M1, NOW - 9 * MINUTE, NOW - MINUTE)
    assert len(venue.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "<html>",
        {},
        [[]],
        [5],
        [row(1, open="0")],
        [row(1, close="NaN")],
        [row(1, volume="-1")],
        [[NOW - MINUTE + 1, *ROW, 0]],
        [[NOW - MINUTE, 1.0, 2.0, 0.5, 1.5, 10.0, 0]],
        [row(1), row(1)],
    ],
)
async def test_bars_that_cannot_be_used_are_no_answer(answer: Any) -> None:
    async with binance(Venue(answer)) as rest:
        with pytest.raises(FeedDown):
            await rest.bars(BTC, Timeframe.M1, NOW - MINUTE, NOW - MINUTE)


@pytest.mark.parametrize(
    "answer",
    [
        {"retCode": 10001, "retMsg": "params error", "result": {}},
        {"retCode": 0, "result": None},
        {"retCode": 0, "result": {"list": [["soon", *ROW]]}},
        page_of(row(1, high="")),
    ],
)
async def test_bybits_refusals_and_nonsense_are_no_answer(answer: Any) -> None:
    async with bybit(Venue(answer)) as rest:
        with pytest.raises(FeedDown):
            await rest.bars(BTC, Timeframe.M1, NOW - MINUTE, NOW - MINUTE)


TRADE = {"id": 7, "price": "100.5", "qty": "1", "time": NOW}
TICKER = {"symbol": "BTCUSDT", "lastPrice": "100.5", "markPrice": "100.25"}


async def test_what_trades_right_now_is_the_last_trade_and_the_mark_price() -> None:
    async with served(Both([TRADE], {"markPrice": "100.25"})) as url:
        rest = BinanceRest(BinanceSettings(rest_url=url))
        assert await rest.latest(BTC) == ("100.5", NOW, "100.25")
        await rest.close()
    async with bybit(Venue({"retCode": 0, "time": NOW, "result": {"list": [TICKER]}})) as asked:
        assert await asked.latest(BTC) == ("100.5", NOW, "100.25")


class Both(Venue):
    """Answers trades and mark prices, each its own."""

    async def handle(self, request: web.Request) -> web.Response:
        trades, mark = self._answers
        return web.json_response(trades if request.path.endswith("/trades") else mark)


@pytest.mark.parametrize("trades", [[], {}, [{**TRADE, "price": "0"}], [{**TRADE, "price": 5.0}], "<html>"])
async def test_a_price_that_cannot_be_used_is_no_answer(trades: Any) -> None:
    async with served(Both(trades, {"markPrice": "100.25"})) as url:
        rest = BinanceRest(BinanceSettings(rest_url=url))
        with pytest.raises(FeedDown):
            await rest.latest(BTC)
        await rest.close()
    result = {"list": [{**TICKER, "lastPrice": ""}]}
    async with bybit(Venue({"retCode": 0, "time": NOW, "result": result})) as asked:
        with pytest.raises(FeedDown):
            await asked.latest(BTC)


@pytest.mark.parametrize("clock", [{}, [], {"serverTime": "soon"}, {"serverTime": 10**30}])
async def test_a_clock_that_tells_no_time_is_down(clock: Any) -> None:
    async with binance(Venue([], clock=clock)) as rest:
        with pytest.raises(FeedDown):
            await rest.server_time()


async def test_an_error_does_not_hold_the_proxys_password() -> None:
    rest = BinanceRest(BinanceSettings(rest_url="http://venue.invalid", proxy="http://u:secret@127.0.0.1:9"))
    with pytest.raises(FeedDown) as down:
        await rest.server_time()
    assert "secret" not in str(down.value)
    await rest.close()
