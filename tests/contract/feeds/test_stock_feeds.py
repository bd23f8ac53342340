"""Feeds of US stocks against the simulated venues: Alpaca's IEX and SIP streams, and Polygon's in their place."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from contract.feeds.recipients import Recipient, bars_of, figures, judged
from contract.feeds.scripts import BEGIN, Script, odd_series
from contract.feeds.serving import DATA, Served, ServedMarket, serving, serving_files
from contract.feeds.test_alpaca_sdk import files, happenings, rounds
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings_sections import AlpacaSettings, FeedsSettings, VenuesSettings
from nexus_data.bar_file import read_bars
from nexus_data.sessions import us_sessions
from nexus_ingest.adapters.coinmarketcap import CoinMarketCap
from nexus_ingest.adapters.fear_greed import FearGreed
from nexus_ingest.adapters.macro_source import MacroUnread
from nexus_ingest.domain.readings import BookRead, HaltRead, KlineRead, Reading, TradeRead
from nexus_ingest.venues.feed import FeedDown, RawFrame, ReadBy
from nexus_ingest.venues.socket import Patience
from nexus_ingest.venues.stock_feed import StockFeed, stock_feed
from nexus_ingest.venues.table import FEEDS
from nexus_market.candles import Series, fold, from_millis, slot_millis
from nexus_market.exchange.wire import simulated_secret
from nexus_simvenue.market.keys import service_key

AAPL = Symbol("AAPL")
_NAMES = ("AAPL AMD AMZN COIN GOOGL META MSFT MSTR", "NVDA QQQ SOXL SPY TSLA XLF XLK")
FIFTEEN = [Symbol(name) for names in _NAMES for name in names.split()]
SOURCES = ("iex", "sip", "polygon")
QUICK = Patience(retry=0.05, retry_max=0.1, overlap=0.1)
NEW_YEAR_2026 = 1_767_225_600_000


def settings(market: ServedMarket, source: str, stocks: Sequence[Symbol], key: str) -> FeedsSettings:
    secret = simulated_secret(key)
    return FeedsSettings(
        venues=(Venue.ALPACA,),
        stocks=tuple(stocks),
        stock_feed="sip" if source == "sip" else "iex",
        stock_source="polygon" if source == "polygon" else "alpaca",
        alpaca_data_url=market.addresses["alpaca"],
        alpaca_stream_url=market.addresses["alpaca_ws"],
        alpaca_key=SecretStr(key),
        alpaca_secret=SecretStr(secret),
        polygon_url=market.addresses["polygon"],
        polygon_stream_url=market.addresses["polygon_ws"],
        polygon_key=SecretStr(service_key(key)),
    )


def at(market: ServedMarket) -> AlpacaSettings:
    return AlpacaSettings(rest_url=market.addresses["alpaca"], stream_url=market.addresses["alpaca_ws"])


def new_feed(
    market: ServedMarket, source: str, stocks: Sequence[Symbol] = (AAPL,), key: str = "reader"
) -> StockFeed:
    return stock_feed(settings(market, source, stocks, key), at(market), QUICK)


@asynccontextmanager
async def running(feed: StockFeed, sink: Recipient) -> AsyncIterator[None]:
    task = asyncio.create_task(feed.run(sink))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await feed.close()


def address(source: str) -> str:
    return "polygon" if source == "polygon" else "alpaca"


def topics(source: str, stocks: Sequence[Symbol] = (AAPL,)) -> set[str]:
    return {f"AM.{s}" if source == "polygon" else f"bars.{s}" for s in stocks}


def served(series: dict[Symbol, Series]) -> list[Served]:
    return [Served(Venue.ALPACA, symbol, each) for symbol, each in series.items()]


class Witness(Recipient):
    """Keeps every reading."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Reading] = []

    def heard(
        self,
        venue: Venue,
        connection: str,
        frame: RawFrame,
        readings: Sequence[Reading],
        received_ns: int,
        read_by: ReadBy | None = None,
    ) -> None:
        self.all += readings
        super().heard(venue, connection, frame, readings, received_ns, read_by)


# -- the stream -------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
async def test_fifteen_stocks_at_once_are_heard_to_the_last_digit(source: str) -> None:
    series = {
        symbol: odd_series(Timeframe.M1, 60 + n, seed=n, shares=n % 2 == 0)
        for n, symbol in enumerate(FIFTEEN)
    }
    expected = {(symbol, Timeframe.M1): each for symbol, each in series.items()}
    async with serving(served(series)) as market:
        feed, heard = new_feed(market, source, FIFTEEN), Recipient()
        async with running(feed, heard):
            await heard.until(lambda: heard.times("opened") == 1)
            await market.play()
            awaited = sum(map(len, series.values()))
            await heard.until(lambda: heard.readings[KlineRead] == awaited)
    assert judged(expected, heard.candles) == []
    assert heard.refusals == {}
    assert heard.happened[0] == ("opened", address(source))


@pytest.mark.parametrize("source", ["iex", "sip"])
async def test_alpaca_tells_trades_tops_halts_and_minutes_that_changed(source: str) -> None:
    async with serving(score=Script(Venue.ALPACA, AAPL, happenings())) as market:
        feed, heard = new_feed(market, source), Witness()
        async with running(feed, heard):
            await heard.until(lambda: heard.times("opened") == 1)
            await market.play()
            await heard.until(lambda: len(heard.all) == 6)
    minute = KlineRead(
        *(AAPL, Timeframe.M1, BEGIN, "189.5", "190", "189.25", "189.75", "1200"), True, BEGIN + 60_000
    )
    assert heard.all == [
        TradeRead(AAPL, "189.5", "100", None, "V1", BEGIN),
        BookRead(AAPL, "189.49", "3", "189.51", "4", BEGIN + 10),
        HaltRead(AAPL, True, "T12", "Trading Halted; For information requested by NASDAQ", BEGIN + 20),
        HaltRead(AAPL, False, "T", "Trading Resumption", BEGIN + 30),
        minute,
        minute._replace(volume="1300"),
    ]


async def test_polygon_tells_trades_tops_halts_and_minutes_that_changed() -> None:
    async with serving(score=Script(Venue.ALPACA, AAPL, happenings())) as market:
        feed, heard = new_feed(market, "polygon"), Witness()
        async with running(feed, heard):
            await market.heard("polygon", {"AM.AAPL", "LULD.AAPL"})
            await market.play()
            await heard.until(lambda: len(heard.all) == 6)
    trade, top, halt, resumption, minute, again = heard.all
    assert trade == TradeRead(AAPL, "189.5", "100", None, "4-1", BEGIN)
    assert top == BookRead(AAPL, "189.49", "3", "189.51", "4", BEGIN + 10)
    assert halt == HaltRead(AAPL, True, "17", "trading halted", BEGIN + 20)
    assert resumption == HaltRead(AAPL, False, "18", "trading resumed", BEGIN + 30)
    assert isinstance(minute, KlineRead)
    assert again == minute._replace(volume="1300")


@pytest.mark.parametrize("source", SOURCES)
async def test_after_a_cut_the_stream_is_back_and_rest_has_what_was_missed(source: str) -> None:
    series = odd_series(Timeframe.M1, 400)
    async with serving(served({AAPL: series}), speed=12_000) as market:
        feed, heard = new_feed(market, source), Recipient()
        async with running(feed, heard):
            await heard.until(lambda: heard.times("opened") == 1)
            await market.faults({"fault": "cut", "address": address(source), "skip": 100})
            await market.play()
            await heard.until(lambda: heard.times("opened") == 2)
            await market.ended()
            last = int(series.open_time[-1])
            await heard.until(lambda: heard.candles[AAPL, Timeframe.M1][-1][0] == last)
            taken = heard.candles[AAPL, Timeframe.M1]
            missed = [row for row in bars_of(series) if row not in taken]
            found = await feed.bars(AAPL, Timeframe.M1, int(missed[0][0]), int(missed[-1][0]))
    assert 0 < len(missed) < 300
    assert sorted([*taken, *map(figures, found)]) == bars_of(series)
    assert [happened.split(":")[0] for happened, _ in heard.happened] == ["opened", "closed", "opened"]


@pytest.mark.parametrize("source", SOURCES)
async def test_a_connection_that_is_opened_anew_gets_the_keys_one_place(source: str) -> None:
    series = odd_series(Timeframe.M1, 5)
    async with serving(served({AAPL: series})) as market:
        feed, heard = new_feed(market, source), Recipient()
        async with running(feed, heard):
            await heard.until(lambda: heard.times("opened") == 1)
            feed.reopen(address(source), "silent for 5 s")
            await heard.until(lambda: heard.times("opened") == 2)
            await market.play()
            await heard.until(lambda: heard.readings[KlineRead] == 5)
    assert heard.happened[1] == ("closed: silent for 5 s", address(source))


@pytest.mark.parametrize("source", SOURCES)
async def test_frames_that_cannot_be_used_are_counted_and_the_rest_flows_on(source: str) -> None:
    series = odd_series(Timeframe.M1, 60)
    kinds = ("malformed", "truncated", "unknown", "oversized")
    async with serving(served({AAPL: series})) as market:
        feed, heard = new_feed(market, source), Recipient()
        async with running(feed, heard):
            await heard.until(lambda: heard.times("opened") == 1)
            # Unclosed candles are not told here, so every third happening is heard.
            await market.faults(*({"fault": kind, "address": address(source), "times": 3} for kind in kinds))
            await market.play()
            await heard.until(lambda: heard.readings[KlineRead] == 60)
    assert judged({(AAPL, Timeframe.M1): series}, heard.candles) == []
    assert heard.refusals == {"malformed, or cut off": 6, "unknown kind of message": 3, "oversized": 3}
    assert heard.times("closed") == 0


# -- who is turned away -----------------------------------------------------------------------------


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as records:
        yield records


async def reason(records: list[MutableMapping[str, Any]], market: ServedMarket) -> str:
    """Of the first connection that could not be opened."""
    async with asyncio.timeout(10):
        while not (found := [r["reason"] for r in records if r["event"].endswith("cannot be opened")]):
            await market.status()
    return str(found[0])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("iex", "406 connection limit exceeded: the key is already connected"),
        ("polygon", "max_connections: Maximum number of websocket connections exceeded.: the key is already"),
    ],
)
async def test_a_second_connection_of_a_key_is_told_and_let_in_when_the_first_is_gone(
    source: str, words: str, logged: list[MutableMapping[str, Any]]
) -> None:
    async with serving(served({AAPL: odd_series(Timeframe.M1, 5)})) as market:
        first, second, heard = new_feed(market, source), new_feed(market, source), Recipient()
        async with running(first, Recipient()):
            await market.heard(address(source), topics(source))
            waiting = asyncio.create_task(second.run(heard))
            assert (await reason(logged, market)).startswith(words)
            assert second.sockets.opened == 0
        await heard.until(lambda: heard.times("opened") == 1)
        await market.play()
        await heard.until(lambda: heard.readings[KlineRead] == 5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await second.close()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("iex", "402 auth failed: check feeds.alpaca_key and feeds.alpaca_secret"),
        ("polygon", "auth_failed: authentication failed: check feeds.polygon_key"),
    ],
)
async def test_a_wrong_key_is_told_and_not_shown(
    source: str, words: str, logged: list[MutableMapping[str, Any]]
) -> None:
    async with serving(served({AAPL: odd_series(Timeframe.M1, 5)})) as market:
        wrong = {"polygon_key" if source == "polygon" else "alpaca_secret": SecretStr("wrong-secret")}
        feeds = settings(market, source, [AAPL], "reader").model_copy(update=wrong)
        feed, heard = stock_feed(feeds, at(market), QUICK), Recipient()
        async with running(feed, heard):
            assert await reason(logged, market) == words
            with pytest.raises(FeedDown, match="refused with status 40"):
                await feed.bars(AAPL, Timeframe.M1, 0, BEGIN - 60_000)
    assert heard.happened == []
    assert "wrong-secret" not in str(logged)


def test_without_a_key_there_is_no_feed() -> None:
    feeds = FeedsSettings(stocks=(AAPL,), alpaca_key=SecretStr("key"))
    with pytest.raises(ConfigurationError, match=r"feeds\.alpaca_secret is not set"):
        FEEDS[Venue.ALPACA](feeds, VenuesSettings())


# -- questions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeframe", list(Timeframe))
@pytest.mark.parametrize("source", ["sip", "polygon"])
async def test_bars_are_asked_for_over_pages(
    source: str, timeframe: Timeframe, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("alpaca", "polygon"):
        monkeypatch.setattr(f"nexus_ingest.venues.{module}.rest._BARS_A_PAGE", 64)
    series = on_the_grid(odd_series(timeframe, 300, shares=True))
    hours = on_the_grid(odd_series(Timeframe.H1, 1_200, shares=True))
    first, last = int(series.open_time[10]), int(series.open_time[-10])
    known = [series] if timeframe is Timeframe.H1 else [series, hours]
    async with serving([Served(Venue.ALPACA, AAPL, each) for each in known]) as market:
        await market.play()
        await market.ended()
        feed = new_feed(market, source)
        bars = await feed.bars(AAPL, timeframe, first, last)
        nothing = await feed.bars(AAPL, timeframe, last + 1, last)
        await feed.close()
    if source == "polygon" and timeframe is Timeframe.H4:
        folded = bars_of(fold(hours, timeframe, last + slot_millis(timeframe)))
        expected = [bar for bar in folded if bar[0] >= first]
    else:
        expected = bars_of(series)[10:-9]
    assert [figures(bar) for bar in bars] == expected
    assert len(bars) > 200
    assert nothing == []


def on_the_grid(series: Series) -> Series:
    """From the next four hours on that begin after `BEGIN`."""
    slot = slot_millis(Timeframe.H4)
    return replace(series, open_time=series.open_time + (slot - BEGIN % slot))


@pytest.mark.parametrize("source", ["iex", "polygon"])
async def test_a_bar_that_has_not_closed_by_the_venues_clock_is_not_given(source: str) -> None:
    series = odd_series(Timeframe.M1, 20)
    async with serving(served({AAPL: series})) as market:
        feed = new_feed(market, source)
        assert await feed.bars(AAPL, Timeframe.M1, BEGIN, BEGIN + 10 * 60_000) == []
        now, round_trip = await feed.server_time()
        assert (now, round_trip < 5_000) == (from_millis(BEGIN), True)
        await market.play()
        await market.ended()
        assert len(await feed.bars(AAPL, Timeframe.M1, BEGIN, NEW_YEAR_2026)) == 20
        await feed.close()


async def test_the_venues_calendar_holds_and_agrees_with_the_library() -> None:
    async with serving(served({AAPL: odd_series(Timeframe.M1, 5)})) as market:
        feed = new_feed(market, "iex")
        days = await feed.sessions(date(2016, 1, 1), date(2025, 12, 31))
        await feed.close()
    assert len(days) == 2_609  # weekdays
    open_days = [each for each in days if each.opens is not None]
    known = us_sessions().between(date(2016, 1, 1), date(2025, 12, 31))
    assert [(each.day, each.opens, each.closes) for each in open_days] == [tuple(each) for each in known]
    assert [each.day for each in days if each.is_early_close and each.day.year == 2024] == [
        date(2024, 7, 3),
        date(2024, 11, 29),
        date(2024, 12, 24),
    ]
    assert {each.disagreement for each in days} == {""}


async def test_the_listing_has_the_stocks_that_were_chosen() -> None:
    series = {symbol: odd_series(Timeframe.M1, 5) for symbol in FIFTEEN[:3]}
    async with serving(served(series)) as market:
        feed = new_feed(market, "iex", FIFTEEN[:2])
        listing = await feed.listing()
        await feed.close()
    assert {instrument.symbol for instrument in listing.instruments} <= set(FIFTEEN[:2])
    assert AAPL in {instrument.symbol for instrument in listing.instruments}
    assert listing.unreadable == {}


# -- the whole market -------------------------------------------------------------------------------


class WithReadings(Script):
    def readings(self) -> Sequence[MacroRead]:
        known = MacroRead(
            known_at=self.start - timedelta(days=1), fear_greed=30, btc_dominance=Decimal("59.5")
        )
        return [
            known,
            MacroRead(
                known_at=self.start,
                btc_dominance=Decimal("59.87"),
                total_market_cap=Decimal("3851234567890.12"),
                total_volume=Decimal("152203785139.25"),
                fear_greed=34,
            ),
        ]


async def test_figures_of_the_whole_market_are_read_with_their_times() -> None:
    async with serving(score=WithReadings(Venue.ALPACA, AAPL, happenings())) as market:
        await market.play()
        await market.ended()
        capital = CoinMarketCap(market.addresses["coinmarketcap"], service_key("reader"))
        mood = FearGreed(market.addresses["fear_greed"])
        stranger = CoinMarketCap(market.addresses["coinmarketcap"], "stranger")
        start = WithReadings(Venue.ALPACA, AAPL, happenings()).start
        assert await capital.read() == MacroRead(
            known_at=start,
            btc_dominance=Decimal("59.87"),
            total_market_cap=Decimal("3851234567890.12"),
            total_volume=Decimal("152203785139.25"),
        )
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        assert await mood.read() == MacroRead(known_at=midnight, fear_greed=34)
        with pytest.raises(MacroUnread, match="refused with 1001"):
            await stranger.read()
        for source in (capital, mood, stranger):
            await source.close()


# -- all files --------------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("source", ["sip", "polygon"])
async def test_every_recorded_minute_comes_through(source: str) -> None:
    count = 0
    for chosen in rounds(files(Timeframe.M1)):
        series = {file.symbol: read_bars(file.path, file.timeframe) for file in chosen}
        awaited = sum(map(len, series.values()))
        async with serving_files(chosen) as market:
            feed, heard = new_feed(market, source, list(series)), Recipient()
            async with running(feed, heard):
                await heard.until(lambda heard=heard: heard.times("opened") == 1)
                await market.play()
                await heard.until(lambda heard=heard, n=awaited: heard.readings[KlineRead] == n, 400)
        assert judged({(s, Timeframe.M1): each for s, each in series.items()}, heard.candles) == []
        assert heard.refusals == {}
        count += awaited
    sys.stdout.write(
        f"\n{source}: {len(files(Timeframe.M1))} files, {count} minutes by our feed, all equal\n"
    )
