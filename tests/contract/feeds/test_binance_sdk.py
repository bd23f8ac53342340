"""Binance's market side, heard and asked by ccxt.pro: every candle to the last digit."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import ccxt.pro
import numpy as np
import pytest
from numpy.typing import NDArray

from contract.feeds.scripts import BEGIN, Script, odd_series
from contract.feeds.serving import DATA, File, Served, ServedMarket, serving, serving_files
from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_data.bar_file import read_bars
from nexus_data.data_directory import DataDirectory
from nexus_market.candles import Series
from nexus_simvenue.market.happenings import Mark, Print, Top

BTC, SHIB = Symbol("BTCUSDT"), Symbol("1000SHIBUSDT")
FIGURES = ("open_time", "open", "high", "low", "close", "volume")
# ccxt keeps as many candles of an instrument; more than can arrive between two looks at them.
KEPT = 3_000
Rows = NDArray[np.float64]


@asynccontextmanager
async def ccxt_client(market: ServedMarket) -> AsyncIterator[Any]:
    client = ccxt.pro.binanceusdm(
        {
            "enableRateLimit": False,
            "newUpdates": False,
            "options": {"fetchCurrencies": False, "fetchMargins": False, "OHLCVLimit": KEPT},
        }
    )
    client.urls["api"] = redirected(client.urls["api"], market.addresses["binance"].removeprefix("http://"))
    await client.load_markets()
    try:
        yield client
    finally:
        await client.close()


def redirected(address: Any, to: str) -> Any:
    if isinstance(address, dict):
        return {name: redirected(each, to) for name, each in address.items()}
    return re.sub(r"^(http|ws)s?://[^/]+", rf"\1://{to}", address)


def unified(symbol: Symbol) -> str:
    return f"{symbol.removesuffix('USDT')}/USDT:USDT"


def topic(symbol: Symbol, timeframe: Timeframe) -> str:
    return f"{symbol.lower()}@kline_{timeframe}"


def rows_of(series: Series) -> Rows:
    return np.column_stack([getattr(series, name).astype(np.float64) for name in FIGURES])


async def closed_candles(client: Any, symbol: Symbol, timeframe: Timeframe, count: int) -> Rows:
    """The first `count` candles that closed: one has when a later one is seen, for ccxt passes on no flag."""
    rows = np.zeros((count, len(FIGURES)))
    taken, newest = 0, -1.0
    while taken < count:
        kept = await client.watch_ohlcv(unified(symbol), timeframe)
        fresh = [*_behind(kept[:-1], newest)][::-1]
        rows[taken : taken + len(fresh)] = fresh or rows[:0]
        taken += len(fresh)
        newest = fresh[-1][0] if fresh else newest
    return rows


def _behind(kept: Sequence[list[float]], newest: float) -> Iterator[list[float]]:
    """Newest first."""
    for row in reversed(kept):
        if row[0] <= newest:
            return
        yield row


async def test_candles_of_several_instruments_and_timeframes_are_equal_to_the_last_digit() -> None:
    bars = {
        (BTC, Timeframe.M1): odd_series(Timeframe.M1, 700),
        (BTC, Timeframe.H1): odd_series(Timeframe.H1, 300, seed=8),
        (SHIB, Timeframe.M5): odd_series(Timeframe.M5, 500, seed=9),
    }
    served = [Served(Venue.BINANCE, symbol, series) for (symbol, _), series in bars.items()]
    async with serving(served) as market, ccxt_client(market) as client:
        watching = [
            asyncio.create_task(closed_candles(client, symbol, timeframe, len(series)))
            for (symbol, timeframe), series in bars.items()
        ]
        await market.heard("binance", {topic(*key) for key in bars})
        await market.play()
        async with asyncio.timeout(30):
            received = await asyncio.gather(*watching)
        assert (await market.status())["told"] == 3 * 1_500 + len(bars)
    for rows, series in zip(received, bars.values(), strict=True):
        assert np.array_equal(rows, rows_of(series))


async def test_a_client_that_takes_an_unclosed_candle_for_a_closed_one_gets_others() -> None:
    series = odd_series(Timeframe.M1, 30)
    async with (
        serving([Served(Venue.BINANCE, BTC, series)], speed=3_000) as market,
        ccxt_client(market) as client,
    ):

        async def hasty() -> Rows:
            first_seen: dict[float, list[float]] = {}
            while len(first_seen) < len(series):
                for row in await client.watch_ohlcv(unified(BTC), "1m"):
                    first_seen.setdefault(row[0], list(row))
            return np.array(list(first_seen.values())[: len(series)])

        watching = asyncio.create_task(hasty())
        await market.heard("binance", {topic(BTC, Timeframe.M1)})
        await market.play()
        async with asyncio.timeout(30):
            rows = await watching
    assert not np.array_equal(rows, rows_of(series))


async def test_several_instruments_on_one_connection() -> None:
    pairs = [(BTC, Timeframe.M1), (SHIB, Timeframe.M15)]
    served = [Served(Venue.BINANCE, symbol, odd_series(timeframe, 30)) for symbol, timeframe in pairs]
    async with serving(served, speed=6_000) as market, ccxt_client(market) as client:
        wanted = [[unified(symbol), timeframe] for symbol, timeframe in pairs]
        seen: set[str] = set()
        watching = asyncio.create_task(client.watch_ohlcv_for_symbols(wanted))
        await market.heard("binance", {topic(*pair) for pair in pairs})
        await market.play()
        async with asyncio.timeout(20):
            seen |= set(await watching)
            while len(seen) < 2:
                seen |= set(await client.watch_ohlcv_for_symbols(wanted))
        assert len({address for address in client.clients if "/market/ws" in address}) == 1


async def test_trades_book_and_marks() -> None:
    happenings = [
        Print("68000.1", "0.004", Side.SELL, 7, BEGIN + 1_000),
        Top("68000.0", "1.5", "68000.1", "0.75", 8, BEGIN + 1_100),
        Mark("68000.05", "68001.5", "-0.000125", BEGIN + 7_200_000, BEGIN + 1_200),
    ]
    score = Script(Venue.BINANCE, BTC, happenings)
    async with serving(score=score) as market, ccxt_client(market) as client:
        name = unified(BTC)
        watching = [
            asyncio.create_task(client.watch_trades(name)),
            asyncio.create_task(client.watch_bids_asks([name])),
            asyncio.create_task(client.watch_mark_prices([name])),
        ]
        topics = {"btcusdt@trade", "btcusdt@bookTicker", "btcusdt@markPrice@1s"}
        await market.heard("binance", topics)
        await market.play()
        async with asyncio.timeout(20):
            (trade,), books, marks = await asyncio.gather(*watching)
        assert (trade["id"], trade["price"], trade["amount"]) == ("7", 68000.1, 0.004)
        assert (trade["side"], trade["timestamp"]) == ("sell", BEGIN + 1_000)
        book, mark = books[name], marks[name]
        assert [book[side] for side in ("bid", "bidVolume", "ask", "askVolume")] == [
            68000.0,
            1.5,
            68000.1,
            0.75,
        ]
        assert (mark["markPrice"], mark["indexPrice"], mark["info"]["r"]) == (68000.05, 68001.5, "-0.000125")


async def test_aggregate_trades_are_on_the_address_of_what_is_regular() -> None:
    score = Script(Venue.BINANCE, BTC, [Print("68000.1", "0.004", Side.BUY, 7, BEGIN + 1_000)])
    async with serving(score=score) as market, ccxt_client(market) as client:
        watching = asyncio.create_task(client.watch_trades(unified(BTC), params={"name": "aggTrade"}))
        await market.heard("binance", {"btcusdt@aggTrade"})
        await market.play()
        async with asyncio.timeout(20):
            (trade,) = await watching
        assert (trade["id"], trade["price"], trade["side"]) == ("7", 68000.1, "buy")
        assert trade["info"]["e"] == "aggTrade"


async def test_history_by_rest_has_every_bar_page_by_page_and_the_open_one_last() -> None:
    series = odd_series(Timeframe.M1, 2_500)
    async with serving([Served(Venue.BINANCE, BTC, series)]) as market, ccxt_client(market) as client:
        assert await client.fetch_ohlcv(unified(BTC), "1m", BEGIN) == []
        await market.play()
        await market.ended()
        expected, received = rows_of(series), []
        since = BEGIN
        while page := await client.fetch_ohlcv(unified(BTC), "1m", since, 1_500):
            received += page
            since = int(page[-1][0]) + 1
        assert np.array_equal(np.array(received[:-1]), expected)
        assert received[-1][0] == series.close_time[-1]
        latest = await client.fetch_ohlcv(unified(BTC), "1m", limit=3)
        assert [row[0] for row in latest] == [*expected[-2:, 0], series.close_time[-1]]
        assert abs(await client.fetch_time() - series.close_time[-1]) < 60_000


# -- the recorded market ----------------------------------------------------------------------------


def recorded() -> list[File]:
    """All files of spot, which stands in, and USDT-M in the timeframes that are told."""
    frames = {"1m", "5m", "15m", "1h"}
    return [
        File(Venue.BINANCE, file.symbol, Timeframe(file.interval), file.path)
        for file in DataDirectory(DATA).files
        if file.folder in ("binance_spot", "binance_um") and file.interval in frames
    ]


def rounds_of(files: Sequence[File]) -> Iterator[list[File]]:
    """Each file once, none with another of the same instrument and timeframe."""
    left = list(files)
    while left:
        now = {(file.symbol, file.timeframe): file for file in reversed(left)}
        yield list(now.values())
        left = [file for file in left if file not in now.values()]


async def receive(files: Sequence[File], report: Callable[[str], object] | None = None) -> dict[str, int]:
    """Serve files, receive them, and compare; the bars that were equal, by file."""
    series = {file: read_bars(file.path, file.timeframe) for file in files}
    equal: dict[str, int] = {}
    async with serving_files(files) as market, ccxt_client(market) as client:

        async def one(file: File) -> None:
            rows = await closed_candles(client, file.symbol, file.timeframe, len(series[file]))
            assert np.array_equal(rows, rows_of(series[file])), f"{file.path} was received otherwise"
            name = f"{file.path.parent.name}/{file.path.name}"
            equal[name] = len(rows)
            if report is not None:
                report(f"{name}: {len(rows)} bars")

        async with asyncio.TaskGroup() as group:
            # One message for all: more than ten within a second end the connection.
            pairs = [[unified(file.symbol), file.timeframe] for file in files]
            group.create_task(client.watch_ohlcv_for_symbols(pairs))
            await market.heard("binance", {topic(file.symbol, file.timeframe) for file in files})
            for file in files:
                group.create_task(one(file))
            await asyncio.sleep(0)
            await market.play()
    return equal


@pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")
async def test_recorded_files_come_through_a_process_of_its_own_unchanged() -> None:
    chosen = {
        "binance_um/ADAUSDT-1m.2022-12-13.parquet",
        "binance_spot/XRPUSDT-5m.2025-08_2025-09.parquet",
        "binance_spot/BTCUSDT-15m.parquet",
    }
    files = [file for file in recorded() if f"{file.path.parent.name}/{file.path.name}" in chosen]
    assert set(await receive(files)) == chosen


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")
async def test_all_recorded_binance_files_come_through_unchanged() -> None:
    files = recorded()
    begun, bars = time.monotonic(), 0
    for number, now in enumerate(rounds_of(files), start=1):
        equal = await receive(now, lambda line: sys.stdout.write(f"  {line}\n"))
        assert len(equal) == len(now)
        bars += sum(equal.values())
        passed = time.monotonic() - begun
        sys.stdout.write(f"round {number}: {bars} bars are equal to the last digit, {bars / passed:.0f}/s\n")
    assert bars == sum(len(read_bars(file.path, file.timeframe)) for file in files)
