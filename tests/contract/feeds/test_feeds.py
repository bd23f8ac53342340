"""Our own feeds against the simulated venues: what is served is what is taken, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from contract.feeds.recipients import HastyRecipient, Key, Recipient, bars_of, figures, judged
from contract.feeds.scripts import BEGIN, odd_series
from contract.feeds.serving import Served, ServedMarket, serving
from contract.feeds.test_binance_sdk import ccxt_client, closed_candles
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.settings_sections import BinanceSettings, BybitSettings
from nexus_ingest.venues.binance.feed import binance_feed
from nexus_ingest.venues.bybit.feed import bybit_feed
from nexus_ingest.venues.bybit.frames import INTERVALS
from nexus_ingest.venues.feed import FeedDown
from nexus_ingest.venues.perpetuals import PerpetualsFeed
from nexus_ingest.venues.socket import Patience
from nexus_market.candles import Series, slot_millis

BTC, SHIB = Symbol("BTCUSDT"), Symbol("1000SHIBUSDT")
IMPATIENT = Patience(overlap=0.05, opening=5.0, retry=0.02, retry_max=0.1, settled=0.05)
MINUTE = slot_millis(Timeframe.M1)


@dataclass(frozen=True)
class Tried:
    """A feed under test: its address' name, how it is made, what the venue calls a stream of candles."""

    venue: Venue
    make: Callable[[Sequence[Symbol], str, str, Patience], PerpetualsFeed]
    topic: Callable[[Symbol, Timeframe], str]

    def feed(
        self, market: ServedMarket, symbols: Sequence[Symbol], patience: Patience = IMPATIENT
    ) -> PerpetualsFeed:
        addresses = market.addresses
        return self.make(symbols, addresses[self.venue], addresses[f"{self.venue}_ws"], patience)


TRIED = {
    "binance": Tried(
        Venue.BINANCE,
        lambda symbols, rest, stream, patience: binance_feed(
            symbols, BinanceSettings(rest_url=rest, stream_url=stream), patience
        ),
        lambda symbol, timeframe: f"{symbol.lower()}@kline_{timeframe}",
    ),
    "bybit": Tried(
        Venue.BYBIT,
        lambda symbols, rest, stream, patience: bybit_feed(
            symbols, BybitSettings(rest_url=rest, stream_url=stream), patience
        ),
        lambda symbol, timeframe: (
            f"kline.{INTERVALS[timeframe]}.{'SHIB1000USDT' if symbol == SHIB else symbol}"
        ),
    ),
}


@pytest.fixture(params=TRIED)
def tried(request: pytest.FixtureRequest) -> Tried:
    return TRIED[request.param]


@asynccontextmanager
async def running(feed: PerpetualsFeed, recipient: Recipient) -> AsyncIterator[None]:
    task = asyncio.create_task(feed.run(recipient))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await feed.close()


def served(tried: Tried, bars: dict[Key, Series]) -> list[Served]:
    return [Served(tried.venue, symbol, series) for (symbol, _), series in bars.items()]


def topics(tried: Tried, keys: Collection[Key]) -> set[str]:
    return {tried.topic(*key) for key in keys}


def last_are_in(recipient: Recipient, bars: dict[Key, Series]) -> Callable[[], bool]:
    """Whether the last candle of each series has been taken."""
    return lambda: all(
        any(candle[0] == series.open_time[-1] for candle in recipient.candles[key][-2:])
        for key, series in bars.items()
    )


def minutes(count: int) -> dict[Key, Series]:
    return {(BTC, Timeframe.M1): odd_series(Timeframe.M1, count)}


# -- candles ------------------------------------------------------------------------------------------


def on_grid(series: Series) -> Series:
    return replace(series, open_time=series.open_time - BEGIN % slot_millis(series.timeframe))


SEVERAL = {
    (BTC, Timeframe.M1): odd_series(Timeframe.M1, 700),
    (SHIB, Timeframe.M5): odd_series(Timeframe.M5, 500, seed=9),
    (BTC, Timeframe.M15): odd_series(Timeframe.M15, 200, seed=10),
    (BTC, Timeframe.H1): odd_series(Timeframe.H1, 300, seed=8),
    (SHIB, Timeframe.H4): on_grid(odd_series(Timeframe.H4, 100, seed=11)),
}


@pytest.mark.parametrize(("kind", "verdict"), [(Recipient, True), (HastyRecipient, False)])
async def test_candles_are_those_served_unless_an_unclosed_one_is_taken_for_one(
    tried: Tried, kind: type[Recipient], verdict: bool
) -> None:
    recipient = kind()
    async with serving(served(tried, SEVERAL)) as market:
        feed = tried.feed(market, (BTC, SHIB))
        async with running(feed, recipient):
            await market.heard(tried.venue, topics(tried, SEVERAL))
            await market.play()
            await recipient.until(last_are_in(recipient, SEVERAL))
    wrong = judged(SEVERAL, recipient.candles)
    assert (wrong == []) is verdict
    if not verdict:
        assert sum("differ" in each for each in wrong) == len(SEVERAL)
    assert recipient.refusals == {}


async def test_a_thin_client_of_ccxt_is_judged_the_same_way() -> None:
    tried, bars = TRIED["binance"], minutes(400)
    async with serving(served(tried, bars)) as market, ccxt_client(market) as client:
        watching = asyncio.create_task(closed_candles(client, BTC, Timeframe.M1, 400))
        await market.heard("binance", topics(tried, bars))
        await market.play()
        async with asyncio.timeout(30):
            rows = await watching
    assert judged(bars, {(BTC, Timeframe.M1): map(tuple, rows.tolist())}) == []


# -- connections --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", "rotate"])
async def test_after_a_broken_connection_there_is_another_and_rest_has_what_was_missed(
    tried: Tried, fault: str
) -> None:
    bars, recipient = minutes(400), Recipient()
    series = bars[BTC, Timeframe.M1]
    async with serving(served(tried, bars), speed=30_000) as market:
        feed = tried.feed(market, (BTC,))
        async with running(feed, recipient):
            await market.heard(tried.venue, topics(tried, bars))
            await market.faults({"fault": fault, "address": tried.venue, "skip": 300, "times": 2})
            await market.play()
            await recipient.until(last_are_in(recipient, bars))
            found = await feed.bars(BTC, Timeframe.M1, BEGIN, int(series.open_time[-1]))
    assert recipient.times("closed") >= 1
    assert recipient.times("opened") == recipient.times("closed") + 2  # of both connections
    taken = recipient.candles[BTC, Timeframe.M1]
    missed = [figures(bar) for bar in found if figures(bar) not in set(taken)]
    assert judged(bars, {(BTC, Timeframe.M1): sorted({*taken, *missed})}) == []


async def test_connections_that_are_replaced_in_time_lose_nothing_and_say_nothing_twice(
    tried: Tried,
) -> None:
    bars, recipient = minutes(1_000), Recipient()
    patience = Patience(rotation=0.15, overlap=0.05, opening=5.0, retry=0.02, settled=0.05)
    async with serving(served(tried, bars), speed=30_000) as market:
        feed = tried.feed(market, (BTC,), patience)
        async with running(feed, recipient):
            await market.heard(tried.venue, topics(tried, bars))
            await market.play()
            await recipient.until(last_are_in(recipient, bars))
            assert feed.sockets.opened > 5
    assert judged(bars, recipient.candles) == []
    assert recipient.times("closed") == 0
    assert recipient.times("opened") == 2


async def test_a_connection_that_lives_and_is_silent_is_opened_anew_on_demand(tried: Tried) -> None:
    bars, recipient = minutes(400), Recipient()
    async with serving(served(tried, bars), speed=30_000) as market:
        feed = tried.feed(market, (BTC,))
        async with running(feed, recipient):
            await market.heard(tried.venue, topics(tried, bars))
            await market.faults({"fault": "stall", "address": tried.venue, "skip": 100})
            await market.play()
            while not await market.fired():
                await recipient.until(lambda: True)
            feed.reopen("market-1", "silent")
            await recipient.until(last_are_in(recipient, bars))
    assert ("closed: silent", "market-1") in recipient.happened
    assert recipient.times("opened") == 3


async def test_what_is_unusable_is_refused_and_counted_and_the_rest_flows_on(tried: Tried) -> None:
    bars, recipient = minutes(200), Recipient()
    kinds = ("malformed", "truncated", "unknown", "oversized")
    rules: list[dict[str, Any]] = [{"fault": kind, "skip": 20 * n} for n, kind in enumerate(kinds)]
    async with serving(served(tried, bars)) as market:
        feed = tried.feed(market, (BTC,))
        async with running(feed, recipient):
            await market.heard(tried.venue, topics(tried, bars))
            await market.faults(*({**rule, "address": tried.venue} for rule in rules))
            await market.play()
            await recipient.until(last_are_in(recipient, bars))
    assert judged(bars, recipient.candles) == []
    assert recipient.refusals == {
        "malformed, or cut off": 2,
        "unknown kind of message": 1,
        "oversized": 1,
    }
    assert recipient.times("closed") == 0


async def test_a_venue_in_maintenance_is_tried_again_until_it_is_back(tried: Tried) -> None:
    bars, recipient = minutes(1_000), Recipient()
    async with serving(served(tried, bars), speed=30_000) as market:
        feed = tried.feed(market, (BTC,))
        async with running(feed, recipient):
            await market.heard(tried.venue, topics(tried, bars))
            await market.faults({"fault": "maintenance", "address": tried.venue, "skip": 100, "seconds": 1.2})
            await market.play()
            await recipient.until(lambda: recipient.times("closed") == 2)
            with pytest.raises(FeedDown):
                await feed.bars(BTC, Timeframe.M1, BEGIN, BEGIN)
            await recipient.until(last_are_in(recipient, bars))
    assert recipient.times("opened") == 4


# -- questions ----------------------------------------------------------------------------------------


async def test_history_comes_in_order_over_all_pages_without_the_candle_that_is_open(tried: Tried) -> None:
    bars, recipient = minutes(3_300), Recipient()
    series = bars[BTC, Timeframe.M1]
    async with serving(served(tried, bars)) as market:
        feed = tried.feed(market, (BTC,))
        async with running(feed, recipient):
            await market.heard(tried.venue, topics(tried, bars))
            assert await feed.bars(BTC, Timeframe.M1, BEGIN, int(series.open_time[-1])) == []
            await market.play()
            await market.ended()
            found = await feed.bars(BTC, Timeframe.M1, BEGIN, int(series.open_time[-1]) + 99 * MINUTE)
            some = await feed.bars(BTC, Timeframe.M1, BEGIN + 1, BEGIN + 10 * MINUTE)
    assert [figures(bar) for bar in found] == bars_of(series)
    assert [bar.open_time for bar in some] == [BEGIN + n * MINUTE for n in range(1, 11)]


async def test_the_clock_and_the_listing_are_asked_for(tried: Tried) -> None:
    async with serving(
        served(tried, {**minutes(10), (SHIB, Timeframe.M1): odd_series(Timeframe.M1, 10)})
    ) as m:
        feed = tried.feed(m, (BTC, SHIB))
        async with running(feed, Recipient()):
            told, round_trip = await feed.server_time()
            listing = await feed.listing()
    assert round(told.timestamp() * 1_000) == BEGIN
    assert 0 <= round_trip < 5_000
    assert {BTC, SHIB} <= {instrument.symbol for instrument in listing.instruments}


async def test_an_instrument_the_venue_does_not_know_is_refused(tried: Tried) -> None:
    async with serving(served(tried, minutes(10))) as market:
        feed = tried.feed(market, (BTC, Symbol("NOSUCHUSDT")))
        async with running(feed, Recipient()):
            with pytest.raises(FeedDown, match=tried.venue):
                await feed.bars(Symbol("NOSUCHUSDT"), Timeframe.M1, BEGIN - MINUTE, BEGIN - MINUTE)
