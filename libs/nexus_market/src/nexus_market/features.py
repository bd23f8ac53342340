"""Features over anchored windows, the same bits live and in a backtest.

Indicators with memory depend on where they start. So each timeframe is cut by time into blocks of
`BLOCK_SLOTS` grid slots since the Unix epoch, and the features of a bar are computed on the last
`HISTORY_BARS` recorded bars before its block, plus the block up to the bar. Live computes the window at each
close, a backtest computes each block once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from nexus_common.contracts.values import Timeframe
from nexus_market.indicators import BY_OUTPUT, INDICATORS, Bars, Bools, Floats, Ints

BLOCK_SLOTS: Final = 1_024
HISTORY_BARS: Final = 2_304
FEATURES: Final = tuple(BY_OUTPUT)
# Between these a square is still a number, so that no indicator ever gives an infinity.
FIGURE_MIN: Final = 1e-100
FIGURE_MAX: Final = 1e100

Row = tuple[int, float, float, float, float, float]


def block_of(open_time: int, timeframe: Timeframe) -> int:
    """The block that a bar belongs to; `open_time` in milliseconds."""
    return open_time // (BLOCK_SLOTS * timeframe.seconds * 1_000)


def is_sound(row: Row) -> bool:
    """Whether figures can be made of a bar: every price a number above 0, the volume one from 0 on."""
    _, opened, high, low, close, volume = row
    return (
        FIGURE_MIN < opened < FIGURE_MAX
        and FIGURE_MIN < high < FIGURE_MAX
        and FIGURE_MIN < low < FIGURE_MAX
        and FIGURE_MIN < close < FIGURE_MAX
        and 0.0 <= volume < FIGURE_MAX
    )


def _sound(bars: Bars) -> Bars:
    """The bars that figures can be made of; the others are left out as if never recorded."""
    sound = (bars.volume >= 0.0) & (bars.volume < FIGURE_MAX)
    for prices in (bars.open, bars.high, bars.low, bars.close):
        sound &= (prices > FIGURE_MIN) & (prices < FIGURE_MAX)
    if sound.all():
        return bars
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return Bars(bars.open_time[sound], *(column[sound] for column in columns))


class FeatureColumns:
    """Bars and indicators of consecutive rows, computed when asked for: one row, or a whole block.

    The rows are the bars of `window` from `start` on; what stands before them is their history, within
    which `lag` looks back. A value may be read only where `ready`; row 0 of an array is row `start`.
    """

    __slots__ = ("_columns", "start", "timeframe", "window")

    def __init__(
        self,
        window: Bars,
        start: int,
        timeframe: Timeframe,
        columns: dict[str, Floats] | None = None,
    ) -> None:
        self.window = window
        self.start = start
        self.timeframe = timeframe
        self._columns: dict[str, Floats] = {} if columns is None else columns

    def __len__(self) -> int:
        return len(self.window) - self.start

    def column(self, name: str, lag: int = 0) -> Floats:
        """A feature, or `open`, `high`, `low`, `close`, `volume`, of each row, or of `lag` bars before it."""
        return self._whole(name)[self._rows(lag)]

    def close_time(self, lag: int = 0) -> Ints:
        """When each row's bar closed, in milliseconds."""
        return self.window.open_time[self._rows(lag)] + self.timeframe.seconds * 1_000

    def first_ready(self, names: Iterable[str], lag: int = 0) -> int:
        """The first row from which all these features are ready, `lag` bars back included; `len(self)`: none.

        Readiness is a matter of how many bars the window holds, so it never ends within a block.
        """
        bars_min = max((BY_OUTPUT[name].bars_min for name in names), default=1)
        return min(max(bars_min + lag - 1 - self.start, 0), len(self))

    def ready(self, name: str) -> Bools:
        """For each row whether a feature is ready."""
        return np.arange(len(self)) >= self.first_ready((name,))

    def since(self, row: int) -> FeatureColumns:
        """These rows from `row` on, over the same window and what was computed on it."""
        if row == 0:
            return self
        return FeatureColumns(self.window, self.start + row, self.timeframe, self._columns)

    def snapshot(self, row: int) -> dict[str, float]:
        """Every feature of one row that is ready; one that is not is absent."""
        at = self.start + row
        return {
            name: float(self._whole(name)[at])
            for indicator in INDICATORS
            if at + 1 >= indicator.bars_min
            for name in indicator.outputs
        }

    def _rows(self, lag: int) -> slice:
        if lag > self.start:
            raise IndexError(f"{lag} bars back of row 0 lie before the window; take the rows that are ready")
        return slice(self.start - lag, len(self.window) - lag)

    def _whole(self, name: str) -> Floats:
        if name not in BY_OUTPUT:
            values: Floats = getattr(self.window, name)
            return values
        if name not in self._columns:
            indicator = BY_OUTPUT[name]
            inputs = [self._whole(used) for used in indicator.uses]
            self._columns.update(zip(indicator.outputs, indicator.compute(self.window, *inputs), strict=True))
        return self._columns[name]


def blocks(bars: Bars, timeframe: Timeframe) -> list[FeatureColumns]:
    """A whole series cut into blocks, each with its own window: every sound bar is a row of exactly one."""
    bars = _sound(bars)
    if not len(bars):
        return []
    block = bars.open_time // (BLOCK_SLOTS * timeframe.seconds * 1_000)
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(bars)]
    columns = []
    for start, end in pairwise(edges):
        first = max(0, start - HISTORY_BARS)
        columns.append(FeatureColumns(bars[first:end], start - first, timeframe))
    return columns


class History:
    """The recorded bars of one instrument and timeframe that features may still need.

    Only newer bars join at once. A late or corrected one joins when the next block begins, so that the
    features of a block are never computed on two histories. A bar that is not sound never joins, and a
    missing one is never invented.
    """

    def __init__(self, timeframe: Timeframe) -> None:
        self.timeframe = timeframe
        self._times = np.empty(HISTORY_BARS + BLOCK_SLOTS, dtype=np.int64)
        self._values = np.empty((5, len(self._times)), dtype=np.float64)
        self._size = 0
        self._block_start = 0
        self._block = -1
        self._late: dict[int, Row] = {}

    def __len__(self) -> int:
        return self._size

    @property
    def last_open_time(self) -> int | None:
        """Milliseconds since the Unix epoch."""
        return int(self._times[self._size - 1]) if self._size else None

    def add(self, row: Row) -> None:
        """Take a closed bar: (open time, open, high, low, close, volume)."""
        if not is_sound(row):
            return
        last = self.last_open_time
        if last is not None and row[0] <= last:
            if self._row_at(row[0]) != row:
                self._late[row[0]] = row
            return
        block = block_of(row[0], self.timeframe)
        if block != self._block:
            self._begin_block(block)
        self._append(row)

    def correct(self, row: Row) -> None:
        """Take what the venue later said of a bar; of one that was never heard it says nothing."""
        last = self.last_open_time
        if is_sound(row) and last is not None and row[0] <= last:
            self._late[row[0]] = row

    def backfill(self, rows: Sequence[Row]) -> None:
        """Take bars of the past, oldest first. History from before the first bar held joins at once."""
        rows = [row for row in rows if is_sound(row)]
        first = int(self._times[0]) if self._size else None
        older = [row for row in rows if first is not None and row[0] < first]
        if older and self._block_start < HISTORY_BARS:
            self._rebuild([*older, *self._rows(0, self._size)])
        for row in rows[len(older) :]:
            self.add(row)

    def columns(self) -> FeatureColumns:
        """The features of the last bar, on its window; to be read before the next bar is taken."""
        first = max(0, self._block_start - HISTORY_BARS)
        window = self._bars(first, self._size)
        return FeatureColumns(window, len(window) - 1, self.timeframe)

    def _bars(self, start: int, end: int) -> Bars:
        return Bars(self._times[start:end], *(column[start:end] for column in self._values))

    def _rows(self, start: int, end: int) -> list[Row]:
        times = self._times[start:end].tolist()
        return list(zip(times, *self._values[:, start:end].tolist(), strict=True))

    def _row_at(self, open_time: int) -> Row | None:
        index = int(np.searchsorted(self._times[: self._size], open_time))
        if index == self._size or self._times[index] != open_time:
            return None
        return self._rows(index, index + 1)[0]

    def _begin_block(self, block: int) -> None:
        """Let late bars join, and drop what no window will reach any more."""
        if self._late:
            merged = {row[0]: row for row in self._rows(0, self._size)} | self._late
            self._late = {}
            self._write([merged[open_time] for open_time in sorted(merged)][-HISTORY_BARS:])
        elif self._size > HISTORY_BARS:
            surplus = self._size - HISTORY_BARS
            self._times[:HISTORY_BARS] = self._times[surplus : self._size].copy()
            self._values[:, :HISTORY_BARS] = self._values[:, surplus : self._size].copy()
            self._size = HISTORY_BARS
        self._block, self._block_start = block, self._size

    def _rebuild(self, rows: Sequence[Row]) -> None:
        late, self._late = self._late, {}
        self._size, self._block, self._block_start = 0, -1, 0
        for row in rows:
            self.add(row)
        self._late = late

    def _write(self, rows: Sequence[Row]) -> None:
        self._size = 0
        for row in rows:
            self._append(row)

    def _append(self, row: Row) -> None:
        self._times[self._size] = row[0]
        self._values[:, self._size] = row[1:]
        self._size += 1
