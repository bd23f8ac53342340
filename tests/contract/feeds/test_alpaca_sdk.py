"""Alpaca's market side, heard and asked by the vendor's SDK (alpaca-py): bars to the last digit."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from contract.feeds.scripts import BEGIN, Script, odd_series
from contract.feeds.serving import DATA, File, Served, ServedMarket, serving, serving_files
from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_data.bar_file import read_bars
from nexus_market.candles import Series, from_millis, to_millis
from nexus_market.exchange.wire import simulated_secret
from nexus_simvenue.market.happenings import Halt, Happening, Kline, Print, Top

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.data.enums import DataFeed
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.data.live import StockDataStream
    from alpaca.data.requests import StockBarsRequest, StockLatestQuoteRequest, StockLatestTradeRequest
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

AAPL, SPY = Symbol("AAPL"), Symbol("SPY")
KEY = "reader"
SECRET = simulated_secret(KEY)
FRAMES = {
    Timeframe.M1: TimeFrame(1, TimeFrameUnit.Minute),
    Timeframe.M5: TimeFrame(5, TimeFrameUnit.Minute),
    Timeframe.M15: TimeFrame(15, TimeFrameUnit.Minute),
    Timeframe.H1: TimeFrame(1, TimeFrameUnit.Hour),
    Timeframe.H4: TimeFrame(4, TimeFrameUnit.Hour),
}
Bars = list[tuple[int, float, float, float, float, float]]


def rows_of(series: Series) -> Bars:
    columns = (series.open, series.high, series.low, series.close, series.volume)
    return list(zip(series.open_time.tolist(), *(column.tolist() for column in columns), strict=True))


def row_of(bar: Any) -> tuple[int, float, float, float, float, float]:
    return to_millis(bar.timestamp), bar.open, bar.high, bar.low, bar.close, bar.volume


class Heard:
    """What alpaca-py calls back with, by symbol; `enough` when so many are there."""

    def __init__(self, awaited: int) -> None:
        self.by_symbol: dict[str, list[Any]] = defaultdict(list)
        self.enough = asyncio.Event()
        self._left = awaited

    async def hear(self, told: Any) -> None:
        self.by_symbol[told.symbol].append(told)
        self._left -= 1
        if self._left == 0:
            self.enough.set()

    async def all(self, seconds: float = 20.0) -> dict[str, list[Any]]:
        async with asyncio.timeout(seconds):
            await self.enough.wait()
        return self.by_symbol


def new_stream(market: ServedMarket, feed: str = "iex") -> Any:
    address = f"{market.addresses['alpaca_ws']}/v2/{feed}"
    return StockDataStream(KEY, SECRET, url_override=address)


@asynccontextmanager
async def running(stream: Any) -> AsyncIterator[None]:
    """The SDK's own loop owns a thread; a service awaits what is inside of it."""
    task = asyncio.get_running_loop().create_task(stream._run_forever())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.close()


def new_client(market: ServedMarket) -> StockHistoricalDataClient:
    return StockHistoricalDataClient(KEY, SECRET, url_override=market.addresses["alpaca"])


# -- the stream -------------------------------------------------------------------------------------


@pytest.mark.parametrize("feed", ["iex", "sip"])
async def test_the_sdk_hears_every_minute_bar_to_the_last_digit(feed: str) -> None:
    series = {AAPL: odd_series(Timeframe.M1, 120, shares=True), SPY: odd_series(Timeframe.M1, 80, seed=8)}
    served = [Served(Venue.ALPACA, symbol, each) for symbol, each in series.items()]
    async with serving(served) as market:
        bars, stream = Heard(200), new_stream(market, feed)
        stream.subscribe_bars(bars.hear, *series)
        async with running(stream):
            await market.heard("alpaca", {"bars.AAPL", "bars.SPY"})
            await market.play()
            heard = await bars.all()
        assert {s: [row_of(bar) for bar in told] for s, told in heard.items()} == {
            symbol: rows_of(each) for symbol, each in series.items()
        }


async def test_one_can_listen_to_the_bars_of_all_stocks_at_once() -> None:
    series = odd_series(Timeframe.M1, 20)
    served = [Served(Venue.ALPACA, symbol, series) for symbol in (AAPL, SPY)]
    async with serving(served) as market:
        bars, stream = Heard(40), new_stream(market)
        stream.subscribe_bars(bars.hear, "*")
        async with running(stream):
            await market.heard("alpaca", {"bars.*"})
            await market.play()
            assert {symbol: len(told) for symbol, told in (await bars.all()).items()} == {AAPL: 20, SPY: 20}


def happenings() -> list[Happening]:
    minute = Kline(Timeframe.M1, BEGIN, "189.5", "190", "189.25", "189.75", "1200", 12, True, BEGIN + 60_000)
    return [
        Print("189.5", "100", Side.BUY, 1, BEGIN),
        Top("189.49", "3", "189.51", "4", 2, BEGIN + 10),
        Halt(True, "T12", "Trading Halted; For information requested by NASDAQ", BEGIN + 20),
        Halt(False, "", "", BEGIN + 30),
        minute,
        minute._replace(volume="1300", at=BEGIN + 90_000),
    ]


async def test_the_sdk_hears_trades_quotes_statuses_and_updated_bars() -> None:
    async with serving(score=Script(Venue.ALPACA, AAPL, happenings())) as market:
        trades, quotes, statuses, bars, updated = Heard(1), Heard(1), Heard(2), Heard(1), Heard(1)
        stream = new_stream(market)
        stream.subscribe_trades(trades.hear, AAPL)
        stream.subscribe_quotes(quotes.hear, AAPL)
        stream.subscribe_trading_statuses(statuses.hear, AAPL)
        stream.subscribe_bars(bars.hear, AAPL)
        stream.subscribe_updated_bars(updated.hear, AAPL)
        async with running(stream):
            await market.heard("alpaca", {"updatedBars.AAPL", "trades.AAPL"})
            await market.play()
            [trade] = (await trades.all())[AAPL]
            assert (trade.price, trade.size, trade.timestamp) == (189.5, 100, from_millis(BEGIN))
            [quote] = (await quotes.all())[AAPL]
            assert (quote.bid_price, quote.bid_size, quote.ask_price) == (189.49, 3, 189.51)
            halt, resumption = (await statuses.all())[AAPL]
            assert (halt.status_code, halt.reason_code, resumption.status_code) == ("H", "T12", "T")
            [bar], [later] = (await bars.all())[AAPL], (await updated.all())[AAPL]
            assert (bar.volume, later.volume, bar.timestamp) == (1200, 1300, later.timestamp)


async def test_a_key_in_use_is_let_in_when_the_other_is_gone() -> None:
    """The SDK tries again by itself."""
    series = odd_series(Timeframe.M1, 5)
    async with serving([Served(Venue.ALPACA, AAPL, series)]) as market:
        bars, first, second = Heard(5), new_stream(market), new_stream(market)
        for stream in (first, second):
            stream._reconnect_min_backoff = stream._reconnect_max_backoff = 0.05
        first.subscribe_bars(bars.hear, SPY)
        second.subscribe_bars(bars.hear, AAPL)
        async with running(first):
            await market.heard("alpaca", {"bars.SPY"})
            waiting = running(second)
            await waiting.__aenter__()
            assert "bars.AAPL" not in (await market.status())["topics"]["alpaca"]
        await market.heard("alpaca", {"bars.AAPL"})
        await market.play()
        assert len((await bars.all())[AAPL]) == 5
        await waiting.__aexit__(None, None, None)


# -- questions --------------------------------------------------------------------------------------


def asked_for(client: StockHistoricalDataClient, series: dict[Symbol, Series]) -> dict[str, Bars]:
    """The bars of all these series, of one timeframe, over all pages."""
    [timeframe] = {each.timeframe for each in series.values()}
    request = StockBarsRequest(
        symbol_or_symbols=list(series),
        timeframe=FRAMES[timeframe],
        start=datetime(1990, 1, 1, tzinfo=UTC),
        feed=DataFeed.SIP,
    )
    bars: Any = client.get_stock_bars(request)
    return {symbol: [row_of(bar) for bar in told] for symbol, told in bars.data.items()}


@pytest.mark.parametrize("timeframe", list(Timeframe))
async def test_the_sdk_asks_for_every_bar(timeframe: Timeframe) -> None:
    series = {AAPL: odd_series(timeframe, 300, shares=True), SPY: odd_series(timeframe, 200)}
    async with serving([Served(Venue.ALPACA, symbol, each) for symbol, each in series.items()]) as market:
        await market.play()
        await market.ended()
        asked = await asyncio.to_thread(asked_for, new_client(market), series)
    assert asked == {symbol: rows_of(each) for symbol, each in series.items()}


async def test_the_sdk_asks_for_the_latest() -> None:
    async with serving(score=Script(Venue.ALPACA, AAPL, happenings())) as market:
        await market.play()
        await market.ended()
        client = new_client(market)
        trades: Any = await asyncio.to_thread(
            client.get_stock_latest_trade, StockLatestTradeRequest(symbol_or_symbols=AAPL)
        )
        quotes: Any = await asyncio.to_thread(
            client.get_stock_latest_quote, StockLatestQuoteRequest(symbol_or_symbols=AAPL)
        )
    assert (trades[AAPL].price, quotes[AAPL].ask_price) == (189.5, 189.51)


# -- all files --------------------------------------------------------------------------------------


def files(*timeframes: Timeframe) -> list[File]:
    """The recorded bars of US stocks in these timeframes."""
    found = []
    for path in sorted((DATA / "ohlcv" / "us").glob("*.parquet")):
        symbol, interval = path.name.split(".")[0].split("-")
        if interval in timeframes:
            found.append(File(Venue.ALPACA, Symbol(symbol), Timeframe(interval), path))
    return found


def rounds(found: list[File]) -> list[list[File]]:
    """Files that can be served at once: a symbol has one of each timeframe."""
    made: list[list[File]] = []
    for file in found:
        fitting = (r for r in made if all(file.symbol != other.symbol for other in r))
        fit = next(fitting, None)
        if fit is None:
            made.append([file])
        else:
            fit.append(file)
    return made


needs_files = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")


@needs_files
@pytest.mark.long
@pytest.mark.timeout(900)
async def test_every_recorded_minute_comes_through_the_stream() -> None:
    count = 0
    for served in rounds(files(Timeframe.M1)):
        series = {file.symbol: read_bars(file.path, file.timeframe) for file in served}
        awaited = sum(map(len, series.values()))
        async with serving_files(served) as market:
            bars, stream = Heard(awaited), new_stream(market, "sip")
            stream.subscribe_bars(bars.hear, *series)
            async with running(stream):
                await market.heard("alpaca", {f"bars.{symbol}" for symbol in series})
                await market.play()
                heard = await bars.all(400)
            for symbol, each in series.items():
                assert [row_of(bar) for bar in heard[symbol]] == rows_of(each), symbol
        count += awaited
    sys.stdout.write(
        f"\nalpaca: {len(files(Timeframe.M1))} files, {count} minute bars by alpaca-py's stream\n"
    )


@needs_files
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M5, Timeframe.H1])
async def test_every_recorded_bar_comes_by_rest(timeframe: Timeframe) -> None:
    count = 0
    for served in rounds(files(timeframe)):
        series = {file.symbol: read_bars(file.path, file.timeframe) for file in served}
        async with serving_files(served) as market:
            await market.play()
            await market.ended(200)
            asked = await asyncio.to_thread(asked_for, new_client(market), series)
        assert asked == {symbol: rows_of(each) for symbol, each in series.items()}
        count += sum(map(len, series.values()))
    sys.stdout.write(
        f"\nalpaca: {len(files(timeframe))} files, {count} {timeframe} bars by alpaca-py's REST\n"
    )
