"""Bars that nobody wants to see, through the whole of cortex: no signal or a reason, never an exception or NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from nexus_common.contracts.signal import SignalRaised, SignalWithheld
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.settings_sections import CortexSettings
from nexus_cortex.domain.strategies import STRATEGIES
from nexus_cortex.scanning import WholeSeries, scans_of
from nexus_market.candles import Series, fold, timeframes_from, to_millis
from nexus_market.indicators import Bars

START = datetime(2024, 3, 1, tzinfo=UTC)
COUNT = 4_320  # fifteen days of 5m bars
LAST = START + timedelta(days=15)
PLAYED = timedelta(days=1)
DOGE = Symbol("DOGEUSDT")
Change = Callable[[Series], Series]


def walk() -> Series:
    """A lively market, in which strategies trigger all the time."""
    random = np.random.default_rng(5)
    close = 100.0 * np.cumprod(1.0 + random.normal(0.0, 0.006, COUNT))
    opened = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    times = to_millis(START) + np.arange(COUNT, dtype=np.int64) * 300_000
    columns = [np.round(column, 4) for column in (opened, high, low, close, random.random(COUNT) * 50.0)]
    return Series(Timeframe.M5, times, *columns)


def without_volume(series: Series) -> Series:
    return replace(series, volume=np.zeros(COUNT))


def flat(series: Series) -> Series:
    return replace(series, **dict.fromkeys(("open", "high", "low", "close"), np.full(COUNT, 100.0)))


def flat_at_last(series: Series) -> Series:
    """It moves for two weeks and then stands still; its volume goes on."""
    still = np.arange(COUNT) >= COUNT - 300
    names = ("open", "high", "low", "close")
    stood = series.close[COUNT - 301]
    return replace(series, **{name: np.where(still, stood, getattr(series, name)) for name in names})


def one_print(factor: float, bars_ago: int) -> Change:
    def change(series: Series) -> Series:
        high = series.high.copy()
        high[COUNT - bars_ago] *= factor
        return replace(series, high=high)

    return change


def one_close(factor: float) -> Change:
    def change(series: Series) -> Series:
        high, close = series.high.copy(), series.close.copy()
        close[COUNT - 150] *= factor
        high[COUNT - 150] = max(high[COUNT - 150], close[COUNT - 150])
        return replace(series, high=high, close=close)

    return change


def huge_volume(series: Series) -> Series:
    volume = np.where(np.arange(COUNT) < COUNT - 200, series.volume, 0.0)
    volume[COUNT - 250] = 1e25
    return replace(series, volume=volume)


def with_a_gap(series: Series) -> Series:
    kept = np.r_[0 : COUNT - 1_500, COUNT - 100 : COUNT]
    names = ("open_time", "open", "high", "low", "close", "volume")
    return replace(series, **{name: getattr(series, name)[kept] for name in names})


def forty_bars(series: Series) -> Series:
    return series.slice(COUNT - 40, COUNT)


def tiny_prices(series: Series) -> Series:
    names = ("open", "high", "low", "close")
    return replace(series, **{name: getattr(series, name) * 1e-12 for name in names})


BAD: Mapping[str, Change] = {
    "no volume": without_volume,
    "flat for ever": flat,
    "flat at last": flat_at_last,
    "a print a thousand times too high": one_print(1e3, 150),
    "a print beyond all numbers": one_print(1e200, 150),
    "a close a million times too high": one_close(1e6),
    "a huge volume, then none": huge_volume,
    "a gap of five days": with_a_gap,
    "forty bars": forty_bars,
    "tiny prices": tiny_prices,
}


@pytest.fixture
def judged(stage: Any) -> Callable[[Series], Any]:
    """Cortex after a day of a market, each strategy by hand so that no regime hides one."""

    async def play(series: Series) -> tuple[Any, Any]:
        end = to_millis(LAST)
        market = {DOGE: {each: fold(series, each, end) for each in timeframes_from(Timeframe.M5)}}
        run = stage(market)
        run.warm_up(LAST - PLAYED)
        await run.play(LAST - PLAYED, LAST)
        return run, await run.events()

    return play


def figures(value: Any) -> Iterator[float]:
    """Every number of a command, wherever it stands."""
    match value:
        case dict():
            for each in value.values():
                yield from figures(each)
        case list() | tuple():
            for each in value:
                yield from figures(each)
        case bool() | str() | None:
            pass
        case _ if hasattr(value, "model_dump"):
            yield from figures(value.model_dump())
        case _ if hasattr(value, "is_finite"):
            yield float(value)
        case _:
            pass


@pytest.mark.parametrize("name", BAD)
async def test_bad_bars_end_nothing_and_every_figure_is_a_number(judged: Any, name: str) -> None:
    run, _ = await judged(BAD[name](walk()))

    said = [figure for command in run.commands for figure in figures((command.reading, command.proposals))]
    assert all(map(math.isfinite, said))
    assert bool(run.commands) == (name != "forty bars")


@pytest.mark.parametrize("name", BAD)
async def test_bad_bars_are_judged_alike_row_by_row_and_block_by_block(judged: Any, name: str) -> None:
    run, _ = await judged(BAD[name](walk()))

    series = {each: Bars.of_series(held) for each, held in run.market[DOGE].items()}
    whole = [WholeSeries(Venue.BINANCE, DOGE, series, maker_fee=0.0002)]
    scans = scans_of(CortexSettings(), whole, (), to_millis(LAST - PLAYED) + 1)
    for command in run.commands:
        scan, close = scans[command.timeframe, (Venue.BINANCE, DOGE)], to_millis(command.candle_close)
        assert (scan.command(close) if close in scan else None) in (command, None)
    told = {(command.timeframe, to_millis(command.candle_close)) for command in run.commands}
    assert {(timeframe, close) for (timeframe, _), scan in scans.items() for close in scan.closes} <= told


@pytest.mark.parametrize("name", ["no volume", "flat for ever", "forty bars"])
async def test_where_nothing_moves_or_is_traded_nobody_scalps(judged: Any, name: str) -> None:
    _, events = await judged(BAD[name](walk()))

    assert not [e for e in events if isinstance(e, SignalRaised) and e.strategy == "scalping"]


async def test_a_price_that_stands_still_is_withheld_with_its_reason(judged: Any) -> None:
    _, events = await judged(flat(walk()))

    assert not [event for event in events if isinstance(event, SignalRaised)]
    withheld = [event for event in events if isinstance(event, SignalWithheld)]
    assert all(event.strategy in STRATEGIES and event.detail for event in withheld)


async def test_the_walk_itself_makes_strategies_speak(judged: Any) -> None:
    _, events = await judged(walk())

    assert any(isinstance(event, SignalRaised) for event in events)
    assert any(isinstance(event, SignalWithheld) for event in events)
