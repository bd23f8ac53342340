"""Features are the same bits live and in a backtest, and are never read before they are ready."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.values import Timeframe
from nexus_market.candles import Series, fold
from nexus_market.features import BLOCK_SLOTS, FEATURES, HISTORY_BARS, FeatureColumns, History, Row, blocks
from nexus_market.indicators import Bars

REAL = Path(__file__).parents[4] / "shared" / "data" / "ohlcv" / "binance_spot"
M15_MS = 900_000


def synthetic(count: int, seed: int, start: int = 1_616_000_400_000, missing: float = 0.05) -> Bars:
    """A random walk on the 15m grid with holes in it."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.cumprod(1.0 + random.normal(0.0, 0.004, count))
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + random.random(count) * 0.002)
    low = np.minimum(opened, close) * (1.0 - random.random(count) * 0.002)
    bars = Bars(
        start // M15_MS * M15_MS + np.arange(count, dtype=np.int64) * M15_MS,
        *(np.round(column, 4) for column in (opened, high, low, close, random.random(count) * 50.0)),
    )
    kept = np.flatnonzero(random.random(count) >= missing)
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return Bars(bars.open_time[kept], *(column[kept].copy() for column in columns))


def recorded(symbol: str) -> Bars:
    pl = pytest.importorskip("polars")
    path = REAL / f"{symbol}-1m.parquet"
    if not path.exists():
        pytest.skip("the recorded market is not here")
    frame = pl.read_parquet(path)
    columns = [frame[name].to_numpy().copy() for name in ("open", "high", "low", "close", "volume")]
    base = Series(Timeframe.M1, frame["open_time"].to_numpy().copy(), *columns)
    return Bars.of_series(fold(base, Timeframe.M15, int(base.open_time[-1]) + 60_000))


def rows_of(bars: Bars) -> list[Row]:
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return list(zip(bars.open_time.tolist(), *(column.tolist() for column in columns), strict=True))


def assert_live_equals_blocks(bars: Bars, step: int = 1) -> None:
    history, rows = History(Timeframe.M15), rows_of(bars)
    index = 0
    for block in blocks(bars, Timeframe.M15):
        for row in range(len(block)):
            history.add(rows[index])
            index += 1
            if index % step and row > 2:
                continue
            live = history.columns()
            assert len(live) == 1
            assert live.snapshot(0) == block.snapshot(row)
            for name in ("ema20", "adx14", "close"):
                if block.first_ready(["adx14"], 3) <= row:
                    assert live.column(name, 3)[0] == block.since(row).column(name, 3)[0]
            assert live.close_time()[0] == block.close_time()[row]
    assert index == len(bars)


def test_a_close_gives_the_same_bits_as_its_block_across_gaps_and_short_history() -> None:
    assert_live_equals_blocks(synthetic(5_000, seed=1), step=13)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT"])
def test_a_close_gives_the_same_bits_as_its_block_on_a_recorded_market(symbol: str) -> None:
    assert_live_equals_blocks(recorded(symbol), step=7)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 1_800),
    st.integers(0, BLOCK_SLOTS - 1),
    st.floats(0.0, 0.9),
)
def test_any_length_any_offset_and_any_gaps_give_the_same_bits(
    seed: int, count: int, offset: int, missing: float
) -> None:
    start = 1_616_000_400_000 + offset * M15_MS
    assert_live_equals_blocks(synthetic(count, seed, start, missing), step=97)


def test_a_window_holds_the_bars_before_its_block_that_were_recorded_not_its_slots() -> None:
    last = blocks(synthetic(8_000, seed=3, missing=0.4), Timeframe.M15)[-1]

    assert last.start == HISTORY_BARS


def test_a_feature_is_absent_until_three_times_its_period_and_never_nan() -> None:
    (columns,) = blocks(synthetic(700, seed=4, start=0, missing=0.0), Timeframe.M15)

    assert columns.first_ready(["ema200"]) == 599
    assert columns.first_ready(["rsi14"], lag=1) == 42
    assert not columns.ready("ema200")[598]
    assert columns.ready("ema200")[599]
    assert "ema200" not in columns.snapshot(598)
    assert set(columns.snapshot(599)) == set(FEATURES)
    assert columns.snapshot(0) == {}
    for row in range(len(columns)):
        assert all(value == value for value in columns.snapshot(row).values())


def test_what_lies_before_the_window_cannot_be_asked_for() -> None:
    (columns,) = blocks(synthetic(20, seed=4, start=0, missing=0.0), Timeframe.M15)

    with pytest.raises(IndexError, match="before the window"):
        columns.column("close", lag=1)


def test_a_short_series_is_never_ready() -> None:
    (columns,) = blocks(synthetic(20, seed=4, start=0, missing=0.0), Timeframe.M15)

    assert columns.first_ready(["ema20"]) == len(columns)


def test_the_anchored_average_is_that_of_the_full_history() -> None:
    bars = synthetic(9_000, seed=5, missing=0.0)

    anchored = np.concatenate([block.column("ema200") for block in blocks(bars, Timeframe.M15)])

    full = talib.EMA(bars.close, 200)
    assert np.max(np.abs(anchored[600:] - full[600:]) / full[600:]) < 1e-9


def filled(bars: Bars) -> History:
    history = History(Timeframe.M15)
    for row in rows_of(bars):
        history.add(row)
    return history


def same(left: FeatureColumns, right: FeatureColumns) -> bool:
    return left.snapshot(0) == right.snapshot(0)


def in_blocks(bars: Bars, first: int, second: int) -> tuple[Bars, Bars]:
    """The bars of two blocks before the edge between them, and some after it."""
    edge = int(
        np.searchsorted(
            bars.open_time, (bars.open_time[0] // M15_MS // BLOCK_SLOTS + 2) * BLOCK_SLOTS * M15_MS
        )
    )
    return bars[edge - first : edge], bars[edge : edge + second]


def test_a_late_bar_joins_when_the_next_block_begins() -> None:
    before, after = in_blocks(synthetic(3_000, seed=6, missing=0.0), 900, 5)
    rows, following = rows_of(before), rows_of(after)
    late = rows.pop(850)
    without, complete = History(Timeframe.M15), filled(before)
    for row in rows:
        without.add(row)
    lacking = without.columns().snapshot(0)

    without.add(late)

    assert without.columns().snapshot(0) == lacking
    assert not same(without.columns(), complete.columns())
    for row in following:
        without.add(row)
        complete.add(row)
    assert same(without.columns(), complete.columns())


def test_a_corrected_bar_joins_when_the_next_block_begins_and_a_repeat_changes_nothing() -> None:
    before, after = in_blocks(synthetic(3_000, seed=7, missing=0.0), 900, 1)
    rows, following = rows_of(before), rows_of(after)
    history = filled(before)
    as_it_was = history.columns().snapshot(0)
    opened, *prices = rows[-1]
    corrected: Row = (opened, prices[0], prices[1] + 1.0, prices[2], prices[3] + 0.5, prices[4])

    history.add(rows[-1])
    history.add(corrected)

    assert len(history) == len(rows)
    assert history.columns().snapshot(0) == as_it_was
    history.add(following[0])
    assert same(history.columns(), filled(Bars.of([*rows[:-1], corrected, following[0]])).columns())


def test_history_from_before_the_first_bar_joins_at_once() -> None:
    bars = synthetic(1_500, seed=8, missing=0.1)
    rows = rows_of(bars)
    history = History(Timeframe.M15)
    for row in rows[1_200:]:
        history.add(row)

    history.backfill(rows[:1_250])

    assert len(history) == len(filled(bars))
    assert same(history.columns(), filled(bars).columns())


def test_what_no_window_reaches_any_more_is_dropped() -> None:
    bars = synthetic(9_000, seed=9, missing=0.0)

    history = filled(bars)

    assert len(history) <= HISTORY_BARS + BLOCK_SLOTS
    assert history.last_open_time == int(bars.open_time[-1])
