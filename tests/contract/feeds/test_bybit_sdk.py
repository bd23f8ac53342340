"""Bybit's market side, heard and asked by the vendor's SDK (pybit) and by ccxt: candles to the last digit."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import ccxt.pro
import pybit.unified_trading
import pytest
from pybit.unified_trading import HTTP, WebSocket

from contract.feeds.scripts import BEGIN, Script, odd_series
from contract.feeds.serving import DATA, File, Served, ServedMarket, serving, serving_files
from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue, format_decimal
from nexus_data.bar_file import read_bars
from nexus_market.candles import Series, slot_millis
from nexus_simvenue.market.bybit_history import INTERVAL_OF
from nexus_simvenue.market.happenings import Happening, Mark, Print, Top

BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")
FIGURES = ("open", "high", "low", "close", "volume")
PAGE = 1_000
Bars = list[tuple[int, str, str, str, str, str]]


def rows_of(series: Series) -> Bars:
    """A series as the venue spells it."""
    figures = (map(format_decimal, ohlcv) for ohlcv in series.bars(0, len(series)))
    return [(time, *texts) for time, texts in zip(series.open_time.tolist(), figures, strict=True)]


class Heard:
    """What pybit's thread calls back with, as it is then; `enough` is set in the test's loop when all is there."""

    def __init__(self, awaited: int) -> None:
        self.messages: list[dict[str, Any]] = []
        self.enough = asyncio.Event()
        self._awaited = awaited
        self._loop = asyncio.get_running_loop()

    def __call__(self, message: dict[str, Any]) -> None:
        self.messages.append(deepcopy(message))
        if len(self.messages) == self._awaited:
            self._loop.call_soon_threadsafe(self.enough.set)

    async def all(self, seconds: float = 20.0) -> list[dict[str, Any]]:
        async with asyncio.timeout(seconds):
            await self.enough.wait()
        return self.messages


class Candles:
    """Closed candles by topic; stops to wait behind so many of them. `unclosed` counts the others."""

    def __init__(self, awaited: int) -> None:
        self.closed: dict[str, Bars] = defaultdict(list)
        self.unclosed = 0
        self.enough = asyncio.Event()
        self._left = awaited
        self._loop = asyncio.get_running_loop()

    def __call__(self, message: dict[str, Any]) -> None:
        for row in message["data"]:
            if not row["confirm"]:
                self.unclosed += 1
                continue
            self.closed[message["topic"]].append((row["start"], *(row[name] for name in FIGURES)))
            self._left -= 1
            if self._left == 0:
                self._loop.call_soon_threadsafe(self.enough.set)

    async def all(self, seconds: float) -> dict[str, Bars]:
        async with asyncio.timeout(seconds):
            await self.enough.wait()
        return self.closed


@asynccontextmanager
async def pybit_stream(market: ServedMarket) -> AsyncIterator[WebSocket]:
    """pybit has no parameter for an address: it is in a global of its module."""
    with pytest.MonkeyPatch.context() as patch:
        address = f"{market.addresses['bybit_ws']}/v5/public/{{CHANNEL_TYPE}}"
        patch.setattr(pybit.unified_trading, "PUBLIC_WSS", address)
        stream = await asyncio.to_thread(WebSocket, testnet=False, channel_type="linear")
        try:
            yield stream
        finally:
            await asyncio.to_thread(stream.exit)


def pybit_client(market: ServedMarket) -> HTTP:
    client = HTTP(testnet=False)
    client.endpoint = market.addresses["bybit"]
    return client


@asynccontextmanager
async def ccxt_client(market: ServedMarket) -> AsyncIterator[Any]:
    client = ccxt.pro.bybit({"options": {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}}})
    client.has["fetchCurrencies"] = False
    client.urls["api"] = redirected(client.urls["api"], market.addresses["bybit"].removeprefix("http://"))
    try:
        yield client
    finally:
        await client.close()


def redirected(address: Any, to: str) -> Any:
    if isinstance(address, dict):
        return {name: redirected(each, to) for name, each in address.items()}
    return re.sub(r"^(http|ws)s?://[^/]+", rf"\1://{to}", address)


# -- the stream -------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeframe", list(Timeframe))
async def test_pybit_hears_every_candle_close_to_the_last_digit(timeframe: Timeframe) -> None:
    series, topic = odd_series(timeframe, 120), f"kline.{INTERVAL_OF[timeframe]}.BTCUSDT"
    async with serving([Served(Venue.BYBIT, BTC, series)]) as market, pybit_stream(market) as stream:
        candles = Candles(len(series))
        await asyncio.to_thread(stream.kline_stream, int(INTERVAL_OF[timeframe]), BTC, candles)
        await market.heard("bybit", {topic})
        await market.play()
        assert (await candles.all(20))[topic] == rows_of(series)
        # A client that took every frame for a candle would have had these as well.
        assert candles.unclosed >= 2 * len(series)


def happenings() -> list[Happening]:
    return [
        Print("114210.1", "0.012", Side.BUY, 1, BEGIN),
        Top("114210", "1.5", "114210.1", "0.3", 2, BEGIN + 10),
        Mark("114209.87", "114201.5", "0.0001", BEGIN + 3_600_000, BEGIN + 20),
        Print("114209.9", "2", Side.SELL, 2, BEGIN + 30),
        Top("114209.9", "4", "114210.1", "0.3", 3, BEGIN + 40),
        Mark("114205.5", "114201.5", "0.0001", BEGIN + 3_600_000, BEGIN + 50),
        Top("114209.9", "3.5", "114210", "0.2", 4, BEGIN + 60),
    ]


async def test_pybit_hears_trades_books_and_tickers() -> None:
    async with (
        serving(score=Script(Venue.BYBIT, BTC, happenings())) as market,
        pybit_stream(market) as stream,
    ):
        trades, books, tickers = Heard(2), Heard(3), Heard(2)
        await asyncio.to_thread(stream.trade_stream, BTC, trades)
        await asyncio.to_thread(stream.orderbook_stream, 1, BTC, books)
        await asyncio.to_thread(stream.ticker_stream, BTC, tickers)
        await market.heard("bybit", {"publicTrade.BTCUSDT", "orderbook.1.BTCUSDT", "tickers.BTCUSDT"})
        await market.play()
        told = [message["data"][0] for message in await trades.all()]
        assert [(row["p"], row["v"], row["S"], row["T"]) for row in told] == [
            ("114210.1", "0.012", "Buy", BEGIN),
            ("114209.9", "2", "Sell", BEGIN + 30),
        ]
        # pybit keeps the book by the changes it is told.
        assert [(book["data"]["b"], book["data"]["a"]) for book in await books.all()] == [
            ([["114210", "1.5"]], [["114210.1", "0.3"]]),
            ([["114209.9", "4"]], [["114210.1", "0.3"]]),
            ([["114209.9", "3.5"]], [["114210", "0.2"]]),
        ]
        told = [message["data"] for message in await tickers.all()]
        assert [(row["markPrice"], row["lastPrice"], row["bid1Price"]) for row in told] == [
            ("114209.87", "114210.1", "114210"),
            ("114205.5", "114209.9", "114209.9"),
        ]
        assert {row["nextFundingTime"] for row in told} == {str(BEGIN + 3_600_000)}


async def test_ccxt_watches_candles() -> None:
    """It knows no closing flag: the last state of a candle before the next one is the closed one."""
    series = odd_series(Timeframe.M1, 100)
    async with serving([Served(Venue.BYBIT, BTC, series)]) as market, ccxt_client(market) as client:
        seen: dict[int, list[float]] = {}

        async def watch() -> None:
            behind = int(series.close_time[-1])
            while behind not in seen:
                for candle in await client.watch_ohlcv("BTC/USDT:USDT", "1m"):
                    seen[candle[0]] = candle

        watching = asyncio.get_running_loop().create_task(watch())
        await market.heard("bybit", {"kline.1.BTCUSDT"})
        await market.play()
        async with asyncio.timeout(20):
            await watching
        assert [seen[time] for time in series.open_time.tolist()] == candles_of(series)


async def test_ccxt_watches_trades() -> None:
    async with serving(score=Script(Venue.BYBIT, BTC, happenings())) as market, ccxt_client(market) as client:
        seen: list[tuple[float, float, str]] = []

        async def watch() -> None:
            while len(seen) < 2:
                for trade in await client.watch_trades("BTC/USDT:USDT"):
                    seen.append((trade["price"], trade["amount"], trade["side"]))

        watching = asyncio.get_running_loop().create_task(watch())
        await market.heard("bybit", {"publicTrade.BTCUSDT"})
        await market.play()
        async with asyncio.timeout(20):
            await watching
        assert seen == [(114210.1, 0.012, "buy"), (114209.9, 2.0, "sell")]


# -- questions --------------------------------------------------------------------------------------


def candles_of(series: Series) -> list[list[float]]:
    """A series as ccxt gives candles."""
    columns = [series.open_time.tolist(), *(getattr(series, name).tolist() for name in FIGURES)]
    return [list(row) for row in zip(*columns, strict=True)]


def asked_by_pybit(client: HTTP, symbol: Symbol, series: Series) -> Bars:
    """All the bars of a series' span, page by page, without the open one behind it."""
    rows: Bars = []
    slot = slot_millis(series.timeframe)
    for start in range(int(series.open_time[0]), int(series.close_time[-1]), PAGE * slot):
        answer = client.get_kline(
            category="linear",
            symbol=symbol,
            interval=INTERVAL_OF[series.timeframe],
            start=start,
            end=start + (PAGE - 1) * slot,
            limit=PAGE,
        )
        rows += [(int(row[0]), *row[1:6]) for row in reversed(answer["result"]["list"])]
    return [row for row in rows if row[0] < series.close_time[-1]]


async def test_pybit_and_ccxt_ask_for_every_candle() -> None:
    series = odd_series(Timeframe.M5, 1_500)
    behind = int(series.close_time[-1])
    async with serving([Served(Venue.BYBIT, BTC, series)]) as market:
        await market.play()
        await market.ended()
        rows = await asyncio.to_thread(asked_by_pybit, pybit_client(market), BTC, series)
        assert rows == rows_of(series)
        async with ccxt_client(market) as client:
            candles: list[list[float]] = []
            since = int(series.open_time[0])
            while since < behind:
                page = await client.fetch_ohlcv("BTC/USDT:USDT", "5m", since, PAGE)
                candles += [candle for candle in page if candle[0] < behind]
                since = page[-1][0] + slot_millis(Timeframe.M5)
            assert candles == candles_of(series)


async def test_pybit_asks_for_the_rest() -> None:
    async with serving(score=Script(Venue.BYBIT, BTC, happenings())) as market:
        await market.play()
        await market.ended()
        client = pybit_client(market)
        linear = {"category": "linear", "symbol": "BTCUSDT"}
        listed = await asyncio.to_thread(client.get_instruments_info, **linear)
        assert listed["result"]["list"][0]["priceFilter"]["tickSize"] == "0.1"
        [ticker] = (await asyncio.to_thread(client.get_tickers, **linear))["result"]["list"]
        assert (ticker["lastPrice"], ticker["markPrice"]) == ("114209.9", "114205.5")
        trades = await asyncio.to_thread(client.get_public_trade_history, **linear)
        assert [trade["price"] for trade in trades["result"]["list"]] == ["114209.9", "114210.1"]
        funding = await asyncio.to_thread(client.get_funding_rate_history, **linear)
        assert funding["result"]["list"] == []
        time = await asyncio.to_thread(client.get_server_time)
        assert int(time["result"]["timeNano"]) // 1_000_000 == BEGIN + 60


# -- all files --------------------------------------------------------------------------------------


def files() -> list[File]:
    """The recorded bars of the venue, each in its own timeframe."""
    found = []
    for path in sorted((DATA / "ohlcv" / "bybit_linear").glob("*.parquet")):
        symbol, interval = path.name.split(".")[0].split("-")
        found.append(File(Venue.BYBIT, Symbol(symbol), Timeframe(interval), path))
    return found


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")
async def test_every_recorded_candle_comes_through_pybit() -> None:
    recorded = {file: read_bars(file.path, file.timeframe) for file in files()}
    count = sum(map(len, recorded.values()))
    async with serving_files(list(recorded)) as market, pybit_stream(market) as stream:
        candles, topics = Candles(count), set()
        for file in recorded:
            interval = INTERVAL_OF[file.timeframe]
            topics.add(f"kline.{interval}.{file.symbol}")
            await asyncio.to_thread(stream.kline_stream, int(interval), file.symbol, candles)
        await market.heard("bybit", topics)
        await market.play()
        closed = await candles.all(800)
        client = pybit_client(market)
        await market.ended(120)
        for file, series in recorded.items():
            topic = f"kline.{INTERVAL_OF[file.timeframe]}.{file.symbol}"
            assert closed[topic] == rows_of(series), file.path
            asked = await asyncio.to_thread(asked_by_pybit, client, file.symbol, series)
            assert asked == rows_of(series), file.path
    sys.stdout.write(
        f"\nbybit: {len(recorded)} files, {count} candles by pybit's stream and again by its REST, "
        f"{candles.unclosed} frames of unclosed candles beside them\n"
    )
