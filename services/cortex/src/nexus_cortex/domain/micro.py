"""The micro view (1m) of an instrument as of a close of any timeframe.

It is asked where something is signalled and nowhere else, so it costs nothing at all other closes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.regime import SLOPE_BARS, slope
from nexus_market.candles import slot_millis
from nexus_market.features import FeatureColumns, History, blocks
from nexus_market.indicators import Bars

MICRO: Final = Timeframe.M1
NEEDS: Final = ("ema20", "rsi14")


class MicroFigures(NamedTuple):
    """RSI 14, and what EMA20 gained a bar over the last 5 as a fraction of the close."""

    rsi14: float
    slope: float


# The figures last known at a time in milliseconds; None: the micro view is not there, or warming up.
Micro = Callable[[int], MicroFigures | None]


def no_micro(time: int) -> MicroFigures | None:
    """An instrument without candles that fine."""
    return None


def micro_of_history(history: History) -> Micro:
    """As of the last close heard; of an earlier time, at which a slow candle closed, nothing is known any more."""

    def at(time: int) -> MicroFigures | None:
        last = history.last_open_time
        if last is None or last + slot_millis(MICRO) > time:
            return None
        return _figures(history.columns(), 0)

    return at


class MicroSeries:
    """A whole 1m series; the figures of one block at a time are kept."""

    def __init__(self, bars: Bars) -> None:
        self._blocks = blocks(bars, MICRO)
        self._begins = np.array([int(block.close_time()[0]) for block in self._blocks], dtype=np.int64)
        self._kept: tuple[int, FeatureColumns] | None = None

    def __call__(self, time: int) -> MicroFigures | None:
        number = int(np.searchsorted(self._begins, time, side="right")) - 1
        if number < 0:
            return None
        if self._kept is None or self._kept[0] != number:
            block = self._blocks[number]
            self._kept = (number, FeatureColumns(block.window, block.start, MICRO))
        columns = self._kept[1]
        return _figures(columns, int(np.searchsorted(columns.close_time(), time, side="right")) - 1)


def _figures(columns: FeatureColumns, row: int) -> MicroFigures | None:
    if row < columns.first_ready(NEEDS, SLOPE_BARS):
        return None
    ready = columns.since(row)
    return MicroFigures(float(ready.column("rsi14")[0]), float(slope(ready, "ema20")[0]))
