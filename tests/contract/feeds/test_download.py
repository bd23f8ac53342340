"""History downloaded from the simulated venues: to the last digit, going on where it was stopped, holes filled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from contract.feeds.serving import Served, ServedMarket, serving
from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.errors import ConfigurationError, NexusError
from nexus_common.runtime.settings import load
from nexus_data.checking import check_directory
from nexus_data.findings import Verdict
from nexus_ingest.venues.feed import FeedDown, FeedRefused, Listing
from nexus_market.candles import Series, slot_millis, to_millis
from nexus_market.exchange.wire import simulated_secret
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_ops.downloading import Download, Downloaded, History, Wish, history_of
from nexus_simvenue.market.player import SeriesScore

BEGIN = datetime(2025, 10, 1, tzinfo=UTC)
COUNT = 2_600
BTC, SHIB, SPY = map(Symbol, ("BTCUSDT", "1000SHIBUSDT", "SPY"))
CRYPTO = pytest.mark.parametrize(
    ("venue", "folder"), [(Venue.BINANCE, "binance_um"), (Venue.BYBIT, "bybit_linear")]
)


def market(count: int = COUNT, timeframe: Timeframe = Timeframe.M1, begin: datetime = BEGIN) -> Series:
    steps = np.random.default_rng(5).normal(0, 0.0004, count)
    close = np.round(60_000 * np.exp(np.cumsum(steps)), 2)
    opens = np.concatenate([[60_000.0], close[:-1]])
    times = to_millis(begin) + np.arange(count, dtype=np.int64) * slot_millis(timeframe)
    high, low = np.maximum(opens, close) + 1.5, np.minimum(opens, close) - 2.25
    return Series(timeframe, times, opens, high, low, close, np.round(np.abs(steps) * 1e5, 3))


def wish(venue: Venue, directory: Path, *names: str, last: datetime | None = None, **more: Any) -> Wish:
    end = last or BEGIN + timedelta(minutes=COUNT)
    return Wish(venue, names, (Timeframe.M1,), BEGIN, end, directory, **more)


@asynccontextmanager
async def asked(wish: Wish, url: str) -> AsyncIterator[History]:
    feeds = {"alpaca_key": "reader", "alpaca_secret": simulated_secret("reader"), "alpaca_data_url": url}
    settings = load({"feeds": feeds, "venues": {wish.venue: {"rest_url": url}}}, environment={})
    history = history_of(wish, settings.feeds, settings.venues)
    try:
        yield history
    finally:
        await history.close()


def nothing(*told: object) -> None:
    pass


async def downloaded(wish: Wish, served: ServedMarket) -> Downloaded:
    async with asked(wish, served.addresses[wish.venue]) as history:
        return await Download(wish, history, nothing, nothing, pauses=()).run()


@asynccontextmanager
async def played(venue: Venue, symbols: Sequence[Symbol], series: Series) -> AsyncIterator[ServedMarket]:
    async with serving([Served(venue, symbol, series) for symbol in symbols]) as served:
        await served.play()
        await served.ended()
        yield served


def files_below(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("*") if path.is_file()]


def assert_same(path: Path, series: Series) -> None:
    frame = pl.read_parquet(path)
    for name in ("open_time", "open", "high", "low", "close", "volume"):
        assert np.array_equal(frame[name].to_numpy(), getattr(series, name)), name


@CRYPTO
async def test_history_is_downloaded_to_the_last_digit_and_checks(
    tmp_path: Path, venue: Venue, folder: str
) -> None:
    series = market()
    async with played(venue, [BTC, SHIB], series) as served:
        done = await downloaded(wish(venue, tmp_path, "btc", "SHIB"), served)
    assert done.rows == {f"ohlcv/{folder}/{symbol}-1m.parquet": COUNT for symbol in (BTC, SHIB)}
    assert done.asked == done.total
    assert_same(tmp_path / f"ohlcv/{folder}/BTCUSDT-1m.parquet", series)
    assert check_directory(tmp_path).verdict is Verdict.OK


@CRYPTO
async def test_a_second_run_goes_on_and_fills_holes(tmp_path: Path, venue: Venue, folder: str) -> None:
    series = market()
    path = tmp_path / f"ohlcv/{folder}/BTCUSDT-1m.parquet"
    half = BEGIN + timedelta(minutes=1_000)
    async with played(venue, [BTC], series) as served:
        await downloaded(wish(venue, tmp_path, "BTC", last=half), served)
        whole = pl.read_parquet(path)
        pl.concat([whole[:100], whole[220:]]).write_parquet(path)
        done = await downloaded(wish(venue, tmp_path, "BTC"), served)
        again = await downloaded(wish(venue, tmp_path, "BTC"), served)
    assert list(done.rows.values()) == [120 + COUNT - 1_000]
    assert (list(again.rows.values()), again.total) == ([0], 0)
    assert_same(path, series)


async def test_what_the_market_has_not_closed_is_not_downloaded(tmp_path: Path) -> None:
    series = market()
    async with serving([Served(Venue.BINANCE, BTC, series)]) as served:
        done = await downloaded(wish(Venue.BINANCE, tmp_path, "BTC"), served)
    assert list(done.rows.values()) == [0]
    assert files_below(tmp_path) == []


async def test_an_instrument_that_is_not_listed_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    async with played(Venue.BINANCE, [BTC], market(10)) as served:
        with pytest.raises(ConfigurationError, match="binance lists no NOPE"):
            await downloaded(wish(Venue.BINANCE, tmp_path, "BTC", "NOPE"), served)
    assert files_below(tmp_path) == []


async def test_a_file_of_the_same_span_is_not_told_twice(tmp_path: Path) -> None:
    path = tmp_path / "ohlcv/binance_um/BTCUSDT-1m.2025-10.parquet"
    path.parent.mkdir(parents=True)
    pl.DataFrame({"open_time": market(5).open_time}).write_parquet(path)
    async with played(Venue.BINANCE, [BTC], market(10)) as served:
        with pytest.raises(ConfigurationError, match="has bars of this span already"):
            await downloaded(wish(Venue.BINANCE, tmp_path, "BTC"), served)


async def test_columns_of_a_file_that_goes_on_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "ohlcv/binance_um/BTCUSDT-1m.parquet"
    series = market()
    columns: Mapping[str, Any] = {
        name: getattr(series, name)[:50] for name in ("open_time", "open", "high", "low", "close", "volume")
    }
    path.parent.mkdir(parents=True)
    pl.DataFrame({**columns, "trades": [7] * 50}).write_parquet(path)
    async with played(Venue.BINANCE, [BTC], series) as served:
        await downloaded(wish(Venue.BINANCE, tmp_path, "BTC"), served)
    assert_same(path, series)
    assert pl.read_parquet(path)["trades"].null_count() == COUNT - 50


async def test_stocks_are_downloaded_with_a_key(tmp_path: Path) -> None:
    begin = datetime(2025, 10, 1, 13, 30, tzinfo=UTC)
    series = market(390, begin=begin)
    async with played(Venue.ALPACA, [SPY], series) as served:
        done = await downloaded(wish(Venue.ALPACA, tmp_path, "SPY", last=BEGIN + timedelta(days=1)), served)
    assert done.rows == {"ohlcv/us/SPY-1m.parquet": 390}
    assert_same(tmp_path / "ohlcv/us/SPY-1m.parquet", series)


class Funded(SeriesScore):
    """A market with settlements, as venues stamp them: some milliseconds late."""

    def funding(self, venue: Venue) -> Mapping[Symbol, Sequence[tuple[int, Decimal]]]:
        every = 8 * 3_600_000
        first = to_millis(BEGIN) - 700 * every
        return {
            BTC: [
                (first + number * every + number % 5, Decimal(number % 7) / 10_000) for number in range(706)
            ]
        }


@CRYPTO
async def test_funding_is_downloaded_over_pages_and_goes_on(
    tmp_path: Path, venue: Venue, folder: str
) -> None:
    score = Funded([Served(venue, BTC, market())])
    asked_for = wish(venue, tmp_path, "BTC", with_funding=True)
    early = replace(asked_for, first=BEGIN - timedelta(days=200), timeframes=())
    path = tmp_path / f"funding/{folder}/BTCUSDT.parquet"
    async with serving(score=score) as served:
        await served.play()
        await served.ended()
        await downloaded(replace(early, last=BEGIN - timedelta(days=150)), served)
        done = await downloaded(early, served)
        again = await downloaded(early, served)
    frame = pl.read_parquet(path)
    due = [row for row in score.funding(venue)[BTC] if row[0] >= to_millis(early.first)]
    assert frame["funding_time"].to_list() == [at for at, _ in due]
    assert frame["funding_rate"].to_list() == [float(rate) for _, rate in due]
    assert (list(done.rows.values()), list(again.rows.values())) == ([len(due) - 150], [0])
    assert check_directory(tmp_path).verdict is Verdict.OK


async def test_a_wrong_key_is_told_at_once(tmp_path: Path) -> None:
    async with played(Venue.ALPACA, [SPY], market(10)) as served:
        settings = load(
            {
                "feeds": {"alpaca_key": "reader", "alpaca_secret": "guessed"},
                "venues": {"alpaca": {"rest_url": served.addresses["alpaca"]}},
            },
            environment={},
        )
        of = wish(Venue.ALPACA, tmp_path, "SPY")
        history = history_of(of, settings.feeds, settings.venues)
        with pytest.raises(NexusError, match=r"nothing was asked for: .*401"):
            await Download(of, history, nothing, nothing).run()
        await history.close()


class Shaky:
    """Answers, then is interrupted, or does not answer for a while."""

    def __init__(self, series: Series, *failures: BaseException) -> None:
        self._series, self.failures, self.asked = series, list(failures), 0

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        self.asked += 1
        if self.asked > 1 and self.failures:
            raise self.failures.pop(0)
        rows = np.flatnonzero((self._series.open_time >= first) & (self._series.open_time <= last))
        return [Bar(int(self._series.open_time[row]), *self._series.bar(int(row))) for row in rows]

    async def listing(self) -> Listing:
        return Listing(DEFAULT_INSTRUMENTS[Venue.BINANCE])

    async def close(self) -> None:
        pass


async def test_what_was_received_is_written_when_it_is_stopped(tmp_path: Path) -> None:
    shaky = Shaky(market(), asyncio.CancelledError())
    download = Download(wish(Venue.BINANCE, tmp_path, "BTC"), shaky, nothing, nothing)
    with pytest.raises(asyncio.CancelledError):
        await download.run()
    assert list(download.done.rows.values()) == [1_500]
    await Download(wish(Venue.BINANCE, tmp_path, "BTC"), Shaky(market()), nothing, nothing).run()
    assert_same(tmp_path / "ohlcv/binance_um/BTCUSDT-1m.parquet", market())
    assert files_below(tmp_path) == ["BTCUSDT-1m.parquet"]


async def test_a_venue_that_wants_to_be_left_alone_is_waited_for(tmp_path: Path) -> None:
    shaky = Shaky(market(), FeedDown("binance wants no requests for 60 seconds"), FeedDown("again"))
    words: list[str] = []
    download = Download(wish(Venue.BINANCE, tmp_path, "BTC"), shaky, nothing, words.append, pauses=(0.0, 0.0))
    await download.run()
    assert_same(tmp_path / "ohlcv/binance_um/BTCUSDT-1m.parquet", market())
    assert words == ["binance wants no requests for 60 seconds; again in 0 s", "again; again in 0 s"]


async def test_a_refusal_is_not_asked_again(tmp_path: Path) -> None:
    shaky = Shaky(market(), *(FeedRefused("binance refuses: -1121 Invalid symbol") for _ in range(2)))
    with pytest.raises(NexusError, match="Invalid symbol"):
        await Download(wish(Venue.BINANCE, tmp_path, "BTC"), shaky, nothing, nothing).run()
    assert (shaky.asked, len(pl.read_parquet(tmp_path / "ohlcv/binance_um/BTCUSDT-1m.parquet"))) == (2, 1_500)


async def test_a_venue_that_stays_silent_is_given_up_with_a_word_on_going_on(tmp_path: Path) -> None:
    shaky = Shaky(market(), *(FeedDown("binance does not answer") for _ in range(3)))
    with pytest.raises(NexusError, match=r"does not answer.*run it again to go on"):
        await Download(wish(Venue.BINANCE, tmp_path, "BTC"), shaky, nothing, nothing, pauses=(0.0, 0.0)).run()
    assert len(pl.read_parquet(tmp_path / "ohlcv/binance_um/BTCUSDT-1m.parquet")) == 1_500
