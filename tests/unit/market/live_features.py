"""Features of a recorded file as live computes them, close by close, beside those of its blocks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nexus_common.contracts.values import Timeframe
from nexus_data.bar_file import read_bars
from nexus_market.candles import Series, fold, timeframes_from
from nexus_market.features import FEATURES, FeatureColumns, History, Row, blocks
from nexus_market.indicators import Bars

_INTERVAL = re.compile(r"-(\d+[mhd])(?:\.|$)")


@dataclass(frozen=True, slots=True)
class Compared:
    """`bars` had their whole window compared, `closes` every one of their figures; `unequal` names what differed."""

    file: str
    bars: Mapping[Timeframe, int]
    closes: int
    figures: int
    seconds: float
    unequal: tuple[str, ...]

    def __str__(self) -> str:
        bars = "  ".join(f"{timeframe} {count:,}" for timeframe, count in self.bars.items())
        word = "equal" if not self.unequal else "NOT EQUAL"
        return f"{self.file}: {bars}; {self.closes:,} closes, {self.figures:,} figures {word} ({self.seconds:.0f} s)"


def timeframe_of(path: Path) -> Timeframe | None:
    """Of the bars of a file, by its name; None for one that nobody trades on (30m, 1d)."""
    found = _INTERVAL.search(path.stem)
    return Timeframe(found[1]) if found is not None and found[1] in [*Timeframe] else None


def compared(path: Path, step: Mapping[Timeframe, int], last_bars: int | None = None) -> Compared:
    """Compare a file's series and all its folds; `step` is how many closes there are from one to the next whose
    figures are compared, on each timeframe. With `last_bars` only the end of the file is taken.
    """
    begun = time.monotonic()
    timeframe = timeframe_of(path)
    assert timeframe is not None
    base = read_bars(path, timeframe)
    if last_bars is not None:
        base = base.slice(max(0, len(base) - last_bars), len(base))
    bars: dict[Timeframe, int] = {}
    closes, figures, unequal = 0, 0, []
    for each in timeframes_from(timeframe):
        series = fold(base, each, int(base.close_time[-1]))
        bars[each] = len(series)
        for live, block, row in _side_by_side(series, step[each]):
            closes += 1
            for name in FEATURES:
                ready = row >= block.first_ready((name,))
                if ready != (live.first_ready((name,)) == 0):
                    unequal.append(f"{each} {name} ready at {block.close_time()[row]}")
                elif ready:
                    figures += 1
                    if not _same(live.column(name)[0], block.column(name)[row]):
                        unequal.append(f"{each} {name} at {block.close_time()[row]}")
    name = f"{path.parent.name}/{path.stem}"
    return Compared(name, bars, closes, figures, time.monotonic() - begun, tuple(unequal[:5]))


def _side_by_side(series: Series, step: int) -> Iterator[tuple[FeatureColumns, FeatureColumns, int]]:
    """Each compared close as a row of its own and as a row of its block; the windows of all closes are compared."""
    history, index = History(series.timeframe), 0
    rows = _rows(series)
    for block in blocks(Bars.of_series(series), series.timeframe):
        for row in range(len(block)):
            history.add(rows[index])
            live = history.columns()
            assert _same_window(live.window, block.window, block.start + row + 1), f"{series.timeframe} {row}"
            if index % step == 0 or row == 0:
                yield live, block, row
            index += 1
    assert index == len(series)


def _rows(series: Series) -> list[Row]:
    columns = (series.open_time, series.open, series.high, series.low, series.close, series.volume)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _same_window(live: Bars, block: Bars, length: int) -> bool:
    """Bit for bit: the live window is the block's up to this bar."""
    names = ("open_time", "open", "high", "low", "close", "volume")
    return len(live) == length and all(
        np.array_equal(getattr(live, name), getattr(block, name)[:length]) for name in names
    )


def _same(one: np.float64, other: np.float64) -> bool:
    return one.tobytes() == other.tobytes() and bool(np.isfinite(one))
