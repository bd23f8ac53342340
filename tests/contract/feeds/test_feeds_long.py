"""All recorded Binance files through our own feed and the watch, over cuts, stalls and rotations by the hundred."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest

from contract.feeds.recipients import Figures, Key, judged
from contract.feeds.serving import DATA, File, ServedMarket, serving_files
from contract.feeds.test_binance_sdk import recorded, topic
from contract.feeds.watched import WatchedFeed
from nexus_common.contracts.values import Venue
from nexus_common.runtime.settings_sections import BinanceSettings
from nexus_data.bar_file import read_bars
from nexus_ingest.venues.binance.feed import lines
from nexus_ingest.venues.binance.rest import BinanceRest
from nexus_ingest.venues.perpetuals import PerpetualsFeed
from nexus_ingest.venues.socket import Patience
from nexus_market.candles import Series, slot_millis

IMPATIENT = Patience(rotation=2.0, overlap=0.05, opening=5.0, retry=0.01, retry_max=0.05, settled=0.05)
NO_LIMIT = 10**9
DAY = 86_400_000
FRAMES_A_BAR = 3
BARS_A_SECOND = 4_000.0  # of all instruments: somewhat less than two busy cores can take
FAULTS = ("cut", "stall", "rotate")


def groups(files: Sequence[File]) -> list[dict[File, Series]]:
    """Files of one folder, timeframe and span to the day: markets that begin and end together."""
    found: dict[Any, dict[File, Series]] = defaultdict(dict)
    for file in files:
        series = read_bars(file.path, file.timeframe)
        span = int(series.open_time[0]) // DAY, int(series.open_time[-1]) // DAY
        found[file.path.parent, file.timeframe, span][file] = series
    return list(found.values())


async def receive(
    group: Mapping[File, Series], faults: int, seed: int, bars_a_second: float = BARS_A_SECOND
) -> tuple[Counter[str], list[str]]:
    """Serve files that begin and end together; what happened, and what is wrong with the candles taken."""
    bars: dict[Key, Series] = {(file.symbol, file.timeframe): series for file, series in group.items()}
    slot_seconds = next(iter(bars))[1].seconds
    async with serving_files(list(group), bars_a_second / len(bars) * slot_seconds) as market:
        feed = feed_of(market, bars)
        start = min(int(series.open_time[0]) for series in bars.values())
        known = {k: int(s.open_time[0]) - slot_millis(s.timeframe) for k, s in bars.items()}
        watched = WatchedFeed(feed, known, start)
        tasks = [asyncio.create_task(work) for work in (feed.run(watched), watched.keep_time())]
        try:
            await market.heard("binance", {topic(*key) for key in bars})
            await market.faults(*rules(sum(map(len, bars.values())), faults, seed))
            await market.play()
            await market.ended(3_600.0)
            await caught_up(watched, bars)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await feed.close()
        watched.happened["replaced in time"] = feed.sockets.opened - watched.happened["opened"]
    wrong = judged(bars, {key: upto(watched.candles[key], series) for key, series in bars.items()})
    return watched.happened, [*wrong, *map(str, watched.corrections)]


def upto(candles: Sequence[Figures], series: Series) -> list[Figures]:
    """Behind a series' last bar a candle opens that is never closed; REST has it while others go on."""
    return [candle for candle in candles if candle[0] <= series.open_time[-1]]


def feed_of(market: ServedMarket, bars: Mapping[Key, Series]) -> PerpetualsFeed:
    addresses = market.addresses
    at = BinanceSettings(rest_url=addresses["binance"], stream_url=addresses["binance_ws"])
    of_candles = [line for line in lines(sorted({key[0] for key in bars}), at) if "market" in line.name]
    return PerpetualsFeed(Venue.BINANCE, of_candles, BinanceRest(at, NO_LIMIT), IMPATIENT)


def rules(bars: int, faults: int, seed: int) -> list[dict[str, Any]]:
    """Each kind of fault at messages chosen by chance, spread over all of them."""
    each = max(1, round(faults / len(FAULTS)))
    chance = min(1.0, each / (bars * FRAMES_A_BAR))
    return [
        {"fault": fault, "address": "binance", "chance": chance, "times": each, "seed": seed + number}
        for number, fault in enumerate(FAULTS)
    ]


async def caught_up(watched: WatchedFeed, bars: Mapping[Key, Series], seconds: float = 120.0) -> None:
    """Give the watch time, a candle's at once, until it has closed the last ones."""
    slot = slot_millis(next(iter(bars))[1])
    now = max(int(series.close_time[-1]) for series in bars.values())
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while any(
                not watched.candles[key] or watched.candles[key][-1][0] < series.open_time[-1]
                for key, series in bars.items()
            ):
                await asyncio.sleep(0.1)
                now += slot
                watched.pass_time(now)


@pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")
async def test_a_recorded_day_is_taken_over_ten_faults() -> None:
    [group] = [g for g in groups(recorded()) if any("2022-12-13" in file.path.name for file in g)]
    happened, wrong = await receive(group, faults=10, seed=1, bars_a_second=600.0)
    assert wrong == []
    assert happened["closed"] > 0


@pytest.mark.long
@pytest.mark.timeout(7_200)
@pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")
async def test_all_recorded_binance_files_are_taken_over_five_hundred_faults() -> None:
    of_all = groups(recorded())
    total = sum(len(series) for group in of_all for series in group.values())
    begun, bars, happened = time.monotonic(), 0, Counter[str]()
    for number, group in enumerate(of_all):
        size = sum(map(len, group.values()))
        of_group, wrong = await receive(group, max(3, round(600 * size / total)), seed=7 * number)
        assert wrong == []
        bars, happened = bars + size, happened + of_group
        rate = bars / (time.monotonic() - begun)
        sys.stdout.write(
            f"  {len(group)} files: {bars} of {total} bars equal, {rate:.0f}/s, {dict(happened)}\n"
        )
    assert bars == total
    assert happened["closed"] + happened["replaced in time"] >= 500
