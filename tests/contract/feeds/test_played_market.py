"""A whole market played by the venues themselves: streams, history, clock and matching tell one story."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from contract.feeds.scripts import odd_series
from contract.feeds.serving import Served, ServedMarket, serving, serving_process
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_data.generated_market import START, GeneratedMarket
from nexus_market.candles import from_millis, to_millis
from nexus_simvenue.market.played import MarketScore, Together

BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")
MINUTES = 70
FIGURES = ("o", "h", "l", "c", "v")


@pytest.fixture(scope="module")
def market() -> GeneratedMarket:
    return GeneratedMarket(3, (BTC, ETH), START + timedelta(hours=3), MINUTES)


async def hear(served: ServedMarket, path: str, last: str) -> list[Any]:
    """All that a combined socket gets, until the market is over."""
    address = served.addresses["binance_ws"] + path
    heard: list[Any] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as connected:
        await served.heard("binance", {last})
        await served.play()
        await served.ended()
        await connected.send_str('{"method":"LIST_SUBSCRIPTIONS","id":99}')
        async for message in connected:
            document = json.loads(message.data)
            if "id" in document:
                break
            heard.append(document["data"])
    return heard


async def test_candles_of_all_timeframes_close_as_the_market_says_and_were_seen_forming(
    market: GeneratedMarket,
) -> None:
    names = [f"{symbol.lower()}@kline_{timeframe}" for symbol in (BTC, ETH) for timeframe in Timeframe]
    async with serving(market=market) as served:
        heard = await hear(served, f"/market/stream?streams={'/'.join(names)}", names[0])
    closed: dict[tuple[str, str, int], list[Decimal]] = {}
    before: dict[tuple[str, str, int], int] = defaultdict(int)
    for message in heard:
        kline = message["k"]
        key = (message["s"], kline["i"], kline["t"])
        if kline["x"]:
            assert message["E"] == kline["T"] + 1
            closed[key] = [Decimal(kline[name]) for name in FIGURES]
        else:
            assert key not in closed
            before[key] += 1
    expected = {
        (str(candle.symbol), str(candle.timeframe), to_millis(candle.open_time(step.at))): [*candle[2:]]
        for step in market.steps()
        for closing in step.closed
        for candle in closing.candles
    }
    assert closed == expected
    assert {timeframe for _, timeframe, _ in closed} == {"1m", "5m", "15m", "1h", "4h"}
    assert all(before[key] >= 2 for key in closed)


async def test_trades_make_the_candles_and_the_book_stands_around_them(market: GeneratedMarket) -> None:
    path = "/public/stream?streams=btcusdt@trade/btcusdt@bookTicker"
    async with serving(market=market) as served:
        heard = await hear(served, path, "btcusdt@trade")
    trades = [message for message in heard if message["e"] == "trade"]
    books = [message for message in heard if message["e"] == "bookTicker"]
    assert [trade["t"] for trade in trades] == [*range(1, 4 * MINUTES + 1)]
    assert all(Decimal(book["b"]) < Decimal(book["a"]) for book in books)
    minutes: dict[int, list[Any]] = defaultdict(list)
    for trade in trades:
        minutes[trade["T"] // 60_000 * 60_000].append(trade)
    series = market.series(BTC)
    for open_time, bar in zip(series.open_time.tolist(), series.bars(0, len(series)), strict=True):
        prices = [Decimal(trade["p"]) for trade in minutes[open_time]]
        assert [prices[0], max(prices), min(prices), prices[-1]] == [*bar[:4]]
        assert sum((Decimal(trade["q"]) for trade in minutes[open_time]), Decimal(0)) == bar.volume


async def test_the_engine_matches_at_each_step_and_the_clock_is_the_market_s(market: GeneratedMarket) -> None:
    async with serving(market=market) as served, aiohttp.ClientSession() as session:
        account = {"account": "owner", "epoch": 1, "venue": "binance", "currency": "USDT", "balance": "1000"}
        await served.control.call("open_account", account)
        await served.play()
        await served.ended()
        status = await served.control.call("status")
        assert datetime.fromisoformat(status["venues"]["binance"]["at"]) == market.end
        base = served.addresses["binance"] + "/fapi/v1/"
        async with session.get(base + "time") as answer:
            assert from_millis((await answer.json())["serverTime"]) == market.end
        async with session.get(base + "ticker/price?symbol=BTCUSDT") as answer:
            assert Decimal((await answer.json())["price"]) == market.series(BTC).bars(0, MINUTES)[-1].close
        async with session.get(base + "klines?symbol=BTCUSDT&interval=4h&limit=1500") as answer:
            # Five weeks of 4h bars warm up; the market begins at 3:00 and ends at 4:10.
            rows = await answer.json()
        assert rows[-1][0] == to_millis(START + timedelta(hours=4))
        assert len(rows) > 100


async def test_at_the_pace_of_the_wall_something_happens_about_once_a_second() -> None:
    market = GeneratedMarket(3, (BTC,), START, 60)
    async with serving(market=market, speed=4) as served:
        address = served.addresses["binance_ws"] + "/public/ws/btcusdt@trade"
        async with aiohttp.ClientSession() as session, session.ws_connect(address) as connected:
            await served.heard("binance", {"btcusdt@trade"})
            await served.play()
            times = [(await connected.receive_json(timeout=5))["T"] for _ in range(2)]
        assert times[1] - times[0] == 4_000
        now = datetime.fromisoformat((await served.status())["at"])
        assert timedelta(0) <= now - from_millis(times[1]) < timedelta(seconds=4)


def test_two_markets_at_one_venue_are_refused(market: GeneratedMarket) -> None:
    score = MarketScore(market, None, lambda venue, step: None)
    with pytest.raises(ValueError, match="two markets would be played at binance"):
        Together([score, score]).series()


async def test_a_process_plays_one_market_at_two_venues_with_what_the_macro_services_say() -> None:
    arguments = ("--minutes=60", "--symbols=BTCUSDT,ETHUSDT", "--played-as=binance,bybit", "--seed=3")
    async with serving_process(*arguments, "--speed=max") as served, aiohttp.ClientSession() as session:
        await served.play()
        await served.ended()
        base, start = served.addresses["binance"], to_millis(START)
        async with session.get(
            f"{base}/fapi/v1/klines?symbol=ETHUSDT&interval=5m&startTime={start}"
        ) as answer:
            of_binance = [row[:6] for row in await answer.json()]
        query = f"/v5/market/kline?category=linear&symbol=ETHUSDT&interval=5&start={start}"
        async with session.get(served.addresses["bybit"] + query) as answer:
            of_bybit = [[int(row[0]), *row[1:6]] for row in (await answer.json())["result"]["list"]]
        assert len(of_binance) == 12
        assert of_binance == of_bybit[::-1]
        async with session.get(served.addresses["fear_greed"] + "/fng/") as answer:
            assert 0 <= int((await answer.json())["data"][0]["value"]) <= 100
        assert {"coinmarketcap", "fear_greed"} <= served.addresses.keys()


async def test_a_market_that_goes_as_fast_as_it_can_waits_for_who_does_not_read() -> None:
    bars = 30_000
    series = Served(Venue.BINANCE, BTC, odd_series(Timeframe.M1, bars))
    async with serving([series]) as served, aiohttp.ClientSession() as session:
        address = served.addresses["binance_ws"] + "/market/ws/btcusdt@kline_1m"
        async with session.ws_connect(address) as connected:
            await served.heard("binance", {"btcusdt@kline_1m"})
            await served.play()
            before, told = -1, 0
            while told != before:
                await asyncio.sleep(0.2)
                before, told = told, (await served.status())["told"]
            assert told < 3 * bars
            closed = 0
            while closed < bars:
                closed += '"x":true' in await connected.receive_str(timeout=5)
            await served.ended()


async def test_where_the_market_s_time_does_not_wait_who_does_not_read_is_cut_off() -> None:
    series = Served(Venue.BINANCE, BTC, odd_series(Timeframe.M1, 60_000))
    async with serving([series], speed=10_000_000) as served, aiohttp.ClientSession() as session:
        address = served.addresses["binance_ws"] + "/market/ws/btcusdt@kline_1m"
        async with session.ws_connect(address) as connected:
            await served.heard("binance", {"btcusdt@kline_1m"})
            await served.play()
            await served.ended()
            assert (await served.status())["topics"]["binance"] == {}
            while (await connected.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert connected.close_code == 1006
