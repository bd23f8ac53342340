"""The recorded 15m and 1h candles are what the recorded 1m and 5m ones fold to, where both are there.

Bars in which the sources contradict each other are listed here, with what is wrong with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from nexus_common.contracts.values import Timeframe
from nexus_data.bar_file import read_bars
from nexus_market.candles import Millis, Series, fold, slot_millis, to_millis

DATA = Path(__file__).parents[4] / "shared" / "data" / "ohlcv"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")

VOLUME_TOLERANCE = 1e-9
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Fault:
    """The sources contradict each other from `first` up to `end`."""

    first: datetime
    end: datetime

    def touches(self, open_time: int, slot: int) -> bool:
        return open_time < to_millis(self.end) and open_time + slot > to_millis(self.first)


def fault(day: str, first: str, end: str) -> Fault:
    start = datetime.fromisoformat(f"{day}T{first}").replace(tzinfo=UTC)
    return Fault(start, datetime.fromisoformat(f"{day}T{end}").replace(tzinfo=UTC))


# The 1m files miss trades that the 15m files have, and these some that the 1h files have; all coins alike.
# Volume differs up to 02:45 on the second day, prices up to 02:15.
SPOT = (fault("2021-04-22", "02:00", "02:30"), fault("2021-04-23", "01:30", "03:00"))
# The last bar of a download was still open; its source has no later one.
UNFINISHED = fault("2022-10-24", "19:00", "20:00")
# 5m bars without volume repeat a price that was not traded.
PERPETUAL = fault("2025-08-29", "06:30", "06:35")

# Folder, symbol, finer file, coarser file: candles compared, and those that differ, each within a fault.
PAIRS: dict[tuple[str, str, str, str], tuple[int, int, tuple[Fault, ...]]] = {
    ("binance_spot", "ADAUSDT", "1m", "15m"): (2_861, 8, SPOT),
    ("binance_spot", "BTCUSDT", "1m", "15m"): (2_861, 8, SPOT),
    ("binance_spot", "ETHUSDT", "1m", "15m"): (2_861, 8, SPOT),
    ("binance_spot", "XRPUSDT", "1m", "15m"): (2_861, 8, SPOT),
    ("binance_spot", "BTCUSDT", "1m", "1h"): (716, 3, SPOT),
    ("binance_spot", "ETHUSDT", "1m", "1h"): (716, 3, SPOT),
    ("binance_spot", "BTCUSDT", "5m", "1h"): (10_145, 0, ()),
    ("binance_spot", "ETHUSDT", "5m", "1h"): (2_036, 1, (UNFINISHED,)),
    ("binance_um", "BTCUSDT", "1m", "15m"): (2_879, 0, ()),
    ("binance_um", "ETHUSDT", "1m", "15m"): (2_879, 0, ()),
    ("binance_um", "SOLUSDT", "1m", "15m"): (2_879, 0, ()),
    ("binance_um", "BTCUSDT", "5m", "15m"): (14_897, 1, (PERPETUAL,)),
    ("binance_um", "ETHUSDT", "5m", "15m"): (14_897, 1, (PERPETUAL,)),
    ("binance_um", "SOLUSDT", "5m", "15m"): (14_897, 0, ()),
}


def bars_of(folder: str, symbol: str, interval: str) -> Series:
    return read_bars(DATA / folder / f"{symbol}-{interval}.parquet", Timeframe(interval.split(".")[0]))


def common_slots(finer: Series, coarser: Series) -> tuple[Series, Series]:
    """Whole slots that both files span: the finer bars folded, and the coarser bars as recorded."""
    folded = fold(finer, coarser.timeframe, int(finer.close_time[-1]))
    first = max(int(finer.open_time[0]), int(coarser.open_time[0]))
    last = min(int(folded.open_time[-1]), int(coarser.open_time[-1]))
    return cut(folded, first, last), cut(coarser, first, last)


def cut(series: Series, first: int, last: int) -> Series:
    low, high = np.searchsorted(series.open_time, [first, last + 1])
    return series.slice(int(low), int(high))


def differing(folded: Series, recorded: Series) -> Millis:
    assert folded.open_time.tolist() == recorded.open_time.tolist()
    prices = [getattr(folded, price) != getattr(recorded, price) for price in PRICES]
    volumes = np.abs(folded.volume - recorded.volume) > VOLUME_TOLERANCE * recorded.volume
    return folded.open_time[np.logical_or.reduce([*prices, volumes])]


def test_every_pair_of_files_is_compared() -> None:
    found = set()
    for coarse in ("15m", "1h"):
        for path in DATA.glob(f"*/*-{coarse}.parquet"):
            symbol = path.name.split("-")[0]
            finer = [each for each in ("1m", "5m") if (path.parent / f"{symbol}-{each}.parquet").exists()]
            for fine in finer:
                pair = (path.parent.name, symbol, fine, coarse)
                if len(common_slots(bars_of(*pair[:2], fine), bars_of(*pair[:2], coarse))[0]):
                    found.add(pair)
    assert found == PAIRS.keys()


@pytest.mark.parametrize("pair", PAIRS, ids="/".join)
def test_folds_equal_what_is_recorded(pair: tuple[str, str, str, str]) -> None:
    folder, symbol, fine, coarse = pair
    compared, wrong, faults = PAIRS[pair]
    folded, recorded = common_slots(bars_of(folder, symbol, fine), bars_of(folder, symbol, coarse))
    assert len(folded) == compared > 0
    different = differing(folded, recorded).tolist()
    slot = slot_millis(recorded.timeframe)
    assert all(any(each.touches(time, slot) for each in faults) for time in different)
    assert len(different) == wrong


def test_the_hours_of_spy_leave_out_pre_market_and_are_off_by_cents() -> None:
    """The one stock with minutes and hours, of a source that made them apart from each other.

    The hour in which the session begins has only the session's trades; volumes of whole session hours are
    equal, prices to a cent or two but for bad prints in the last hour of two days, which the hours leave out.
    """
    minutes, hours = bars_of("us", "SPY", "1m.2013-10"), bars_of("us", "SPY", "1h")
    folded = fold(minutes, Timeframe.H1, int(minutes.close_time[-1]))
    _, left, right = np.intersect1d(folded.open_time, hours.open_time, return_indices=True)
    assert len(left) == 42
    openings = (folded.open_time[left] // 3_600_000) % 24 == 13
    assert openings.sum() == 6
    assert (folded.volume[left] > hours.volume[right])[openings].all()
    assert (folded.volume[left] == hours.volume[right])[~openings].all()
    gaps = np.max([np.abs(getattr(folded, p)[left] - getattr(hours, p)[right]) for p in PRICES], axis=0)
    off = folded.open_time[left][~openings & (gaps > 0.025)].tolist()
    assert off == [to_millis(datetime(2013, 10, day, 19, tzinfo=UTC)) for day in (8, 11)]


def test_a_fold_that_loses_a_bar_is_noticed() -> None:
    finer, coarser = bars_of("binance_um", "BTCUSDT", "1m"), bars_of("binance_um", "BTCUSDT", "15m")
    folded, recorded = common_slots(
        finer.slice(0, 1_000).followed_by(finer.slice(1_001, len(finer))), coarser
    )
    assert len(differing(folded, recorded)) == 1


def test_a_fault_touches_the_slots_it_overlaps() -> None:
    quarter = 900_000
    start = to_millis(PERPETUAL.first)
    touched = [PERPETUAL.touches(start + offset * quarter, quarter) for offset in (-1, 0, 1)]
    assert touched == [False, True, False]
    assert PERPETUAL.end - PERPETUAL.first == timedelta(minutes=5)
