"""Live windows and blocks give the same bits on recorded markets: a sample here, all of it in `make test-features`."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from nexus_common.contracts.values import Timeframe
from unit.market.live_features import Compared, compared, timeframe_of

DATA = Path(__file__).parents[4] / "shared" / "data" / "ohlcv"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")

# With a hole of hours, with nights and weekends, with a split, with a crash at its end, and coarse.
SAMPLE = (
    *("binance_spot/BTCUSDT-1m", "us/NVDA-1m", "us/AAPL-1m.2014-06", "us/AAPL-5m"),
    *("bybit_linear/SOLUSDT-5m", "binance_spot/ETHUSDT-1h", "us/SPY-1h"),
)
# On 1m nothing but the micro view rests.
EVERY = {Timeframe.M1: 11, Timeframe.M5: 5, Timeframe.M15: 1, Timeframe.H1: 1, Timeframe.H4: 1}


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_of_recorded_closes_gives_the_bits_of_its_blocks(name: str) -> None:
    found = compared(DATA / f"{name}.parquet", dict.fromkeys(Timeframe, 97), last_bars=9_000)

    assert found.unequal == ()
    assert found.figures > 500


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_every_recorded_file_gives_the_same_bits_live_and_in_blocks() -> None:
    files = sorted(path for path in DATA.glob("*/*.parquet") if timeframe_of(path) is not None)
    done: list[Compared] = []
    # Processes that are forked would inherit the locks of polars' threads.
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for each in pool.map(partial(compared, step=EVERY), files):
            done.append(each)
            sys.stderr.write(f"\n{each}")
    bars = sum(sum(each.bars.values()) for each in done)
    closes, figures = sum(each.closes for each in done), sum(each.figures for each in done)
    sys.stderr.write(
        f"\n{len(done)} files: {bars:,} bars with equal windows, {closes:,} closes with {figures:,} equal figures\n"
    )
    assert len(done) == len(files)
    assert not [each for each in done if each.unequal]
