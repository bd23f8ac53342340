"""Signals counted over a data directory, and the same signals by the second computation from the written rules."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import independent_signals
import numpy as np
import polars as pl
import pytest
import signal_table

from nexus_common.contracts.signal import SignalRaised
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import load
from nexus_cortex.domain.strategies import STRATEGIES
from nexus_data.data_directory import DataDirectory
from nexus_market.candles import to_millis
from nexus_ops.chart_window import first_of_each, windows_of
from nexus_ops.charts import draw
from nexus_ops.signal_counts import count_signals, grounds, market_on, signals_on, totals

SHARED = Path(__file__).parents[4] / "shared" / "data"
MINUTES = 5 * 60_000
BEGINS = to_millis(datetime(2024, 3, 1, tzinfo=UTC))


def write_walk(directory: Path, symbol: str, seed: int, bars: int = 12_000) -> None:
    """A random walk of 5m bars with quiet and wild stretches, and a hole of a day."""
    draw_from = np.random.default_rng(seed)
    wild = 0.0008 * (1.0 + 4.0 * (np.sin(np.arange(bars) / 400.0) > 0.7))
    close = 100.0 * np.exp(np.cumsum(draw_from.normal(0.0, wild)))
    opened = np.concatenate([[100.0], close[:-1]])
    reach = close * np.abs(draw_from.normal(0.0, wild))
    frame = pl.DataFrame(
        {
            "open_time": BEGINS + MINUTES * np.arange(bars),
            "open": opened,
            "high": np.maximum(opened, close) + reach,
            "low": np.minimum(opened, close) - reach,
            "close": close,
            "volume": np.round(draw_from.exponential(50.0, bars), 3),
        }
    )
    kept = frame.filter((pl.int_range(pl.len()) < 7_000) | (pl.int_range(pl.len()) >= 7_288))
    path = directory / "ohlcv" / "binance_um" / f"{symbol}-5m.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept.write_parquet(path)


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("walks")
    for seed, symbol in enumerate(("BTCUSDT", "DOGEUSDT"), start=11):
        write_walk(directory, symbol, seed)
    return directory


def test_both_computations_say_the_same_of_a_random_walk_signal_by_signal(walks: Path) -> None:
    first, second = asyncio.run(signal_table.compared(DataDirectory(walks), "binance_um"))
    assert first == second
    assert {each.strategy for each in first} >= {"trend", "scalping", "mean_reversion", "grid"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="no recorded market beside the checkout")
def test_both_computations_count_the_same_on_recorded_weeks_with_a_crash(tmp_path: Path) -> None:
    until = to_millis(datetime(2025, 11, 1, tzinfo=UTC))
    for symbol in ("BTCUSDT", "SOLUSDT"):
        name = Path("ohlcv", "bybit_linear", f"{symbol}-5m.parquet")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pl.read_parquet(SHARED / name).filter(pl.col("open_time") < until).write_parquet(tmp_path / name)
    first, second = asyncio.run(signal_table.compared(DataDirectory(tmp_path), "bybit_linear"))
    rows = signal_table.rows(first, second)
    assert [row.strategy for row in rows] == list(STRATEGIES)
    for row in rows:
        assert row.both > 0
        assert row.difference <= signal_table.TOLERANCE


def test_counts_are_those_of_the_signals_by_action_and_rule(walks: Path) -> None:
    data = DataDirectory(walks)
    found, unlisted = grounds(data, None, [Symbol("DOGEUSDT")])
    counts = asyncio.run(count_signals(data, found, ["trend", "scalping"], load(environment={}).cortex))
    second = Counter(
        (each.strategy, each.action)
        for each in independent_signals.signals(walks, "binance_um")
        if each.symbol == "DOGEUSDT"
    )
    assert unlisted == []
    assert [each.strategy for each in counts] == ["trend", "scalping"]
    for each in counts:
        assert {(each.strategy, str(action)): n for action, n in each.raised.items()} == {
            key: n for key, n in second.items() if key[0] == each.strategy
        }
        assert each.withheld.total() > 0
    assert [(each.symbol, each.entries) for each in totals([*counts, *counts])] == [
        ("all", 2 * each.entries) for each in counts
    ]


def test_symbols_that_no_venue_lists_are_named_and_left_out(walks: Path, tmp_path: Path) -> None:
    write_walk(tmp_path, "NOBODYUSDT", 1, bars=7_300)
    write_walk(tmp_path, "BTCUSDT", 2, bars=7_300)
    found, unlisted = grounds(DataDirectory(tmp_path), None, None)
    assert [each.symbol for each in found] == ["BTCUSDT"]
    assert unlisted == ["binance_um/NOBODYUSDT"]
    with pytest.raises(ConfigurationError, match="no 1m or 5m bars"):
        grounds(DataDirectory(walks), None, [Symbol("ETHUSDT")])


def test_a_chart_shows_the_signals_own_candle_and_is_a_small_picture(walks: Path, tmp_path: Path) -> None:
    data = DataDirectory(walks)
    found, _ = grounds(data, None, None)
    ground = next(each for each in found if each.symbol == "DOGEUSDT")
    settings = load(environment={}).cortex
    recorded = asyncio.run(signals_on(data, ground, found, "grid", settings))
    events = [each for each in recorded if isinstance(each, SignalRaised)]
    signals = first_of_each(events, 2)
    assert [each.candle_close for each in signals] == [
        each.candle_close for each in events if each.action.is_entry
    ][:2]
    windows = windows_of(market_on(data, ground, found), signals, STRATEGIES)
    for window, signal in zip(windows, signals, strict=True):
        opened = signal.candle_close - Timeframe.H1.duration
        assert window.bars.open_time[window.row] == to_millis(opened)
        assert window.bars.close[window.row] == float(signal.price)
        assert signal.ladder is not None
        assert window.lines["ema200"][window.row] == pytest.approx(float(signal.ladder.centre))
    draw(tmp_path / "charts" / "grid.png", windows)
    picture = (tmp_path / "charts" / "grid.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000


def test_the_second_computation_knows_a_daily_figure_from_the_next_midnight_on(tmp_path: Path) -> None:
    folder = tmp_path / "sentiment"
    folder.mkdir()
    day = datetime(2024, 3, 1, tzinfo=UTC)
    for name, values in (("btc_dominance", (50, 51, 52)), ("total_market_cap", (300, 200, 250))):
        rows = [f"{day + timedelta(days=n):%Y-%m-%d},{value}" for n, value in enumerate(values)]
        (folder / f"{name}_daily.csv").write_text("\n".join(("date,value", *rows)))
    sangria = independent_signals.Sangria(tmp_path, [])
    known = [sangria(to_millis(day + timedelta(hours=hours))) for hours in (24, 47, 48, 71, 72)]
    assert known == [False, False, True, True, False]
