"""Indicators by TA-Lib: names, outputs, and from how many bars on each may be believed.

Only TA-Lib and + - * / are used. TA-Lib is causal (a bar's value does not depend on later bars), which
is why one call over a block gives the same bits as one call for each bar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import unwrap
from types import MappingProxyType, SimpleNamespace
from typing import Final

import numpy as np
import talib
from numpy.typing import NDArray

from nexus_market.candles import Series

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

WARM_UP_FACTOR: Final = 3
# TA-Lib's own functions: those that `talib` exports look for pandas and polars around every call.
_USED: Final = (
    *(
        "ADX",
        "ATR",
        "BBANDS",
        "EMA",
        "MACD",
        "MAX",
        "MFI",
        "MIN",
        "MINUS_DI",
        "PLUS_DI",
        "ROCP",
        "RSI",
        "SMA",
    ),
    "STDDEV",
)
ta: Final = SimpleNamespace(**{name: unwrap(getattr(talib, name)) for name in _USED})


@dataclass(frozen=True, slots=True)
class Bars:
    """Closed bars of one series, oldest first; `open_time` in milliseconds since the Unix epoch."""

    open_time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.open_time)

    def __getitem__(self, rows: slice) -> Bars:
        return Bars(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def of_series(series: Series) -> Bars:
        """The bars of a recorded series; nothing is copied."""
        return Bars(*(getattr(series, field.name) for field in fields(Bars)))

    @staticmethod
    def of(rows: Sequence[tuple[int, float, float, float, float, float]]) -> Bars:
        """Bars of (open time, open, high, low, close, volume)."""
        columns = list(zip(*rows, strict=True)) or [()] * 6
        return Bars(
            np.array(columns[0], dtype=np.int64),
            *(np.array(column, dtype=np.float64) for column in columns[1:]),
        )


@dataclass(frozen=True, slots=True)
class Indicator:
    """What gives some columns, and its period, of which `WARM_UP_FACTOR` make it ready.

    `compute` is handed the bars and the columns that it `uses`.
    """

    outputs: tuple[str, ...]
    period: int
    compute: Callable[..., tuple[Floats, ...]]
    uses: tuple[str, ...] = ()

    @property
    def bars_min(self) -> int:
        return WARM_UP_FACTOR * self.period


def _ema(period: int) -> Indicator:
    return Indicator((f"ema{period}",), period, lambda bars: (ta.EMA(bars.close, period),))


INDICATORS: Final[tuple[Indicator, ...]] = (
    _ema(20),
    _ema(50),
    _ema(200),
    Indicator(("rsi14",), 14, lambda bars: (ta.RSI(bars.close, 14),)),
    Indicator(("bb_upper", "bb_middle", "bb_lower"), 20, lambda bars: ta.BBANDS(bars.close, 20, 2.0, 2.0)),
    Indicator(("atr14",), 14, lambda bars: (ta.ATR(bars.high, bars.low, bars.close, 14),)),
    Indicator(("adx14",), 14, lambda bars: (ta.ADX(bars.high, bars.low, bars.close, 14),)),
    Indicator(("plus_di14",), 14, lambda bars: (ta.PLUS_DI(bars.high, bars.low, bars.close, 14),)),
    Indicator(("minus_di14",), 14, lambda bars: (ta.MINUS_DI(bars.high, bars.low, bars.close, 14),)),
    # The signal line is an EMA of 9 over an EMA of 26: its memory is as long as both together.
    Indicator(("macd", "macd_signal", "macd_histogram"), 26 + 9, lambda bars: ta.MACD(bars.close, 12, 26, 9)),
    Indicator(("volume_sma20",), 20, lambda bars: (ta.SMA(bars.volume, 20),)),
    Indicator(("atr_mean50",), 50, lambda bars, atr: (ta.SMA(atr, 50),), uses=("atr14",)),
    Indicator(("rsi_smoothed",), 14 + 9, lambda bars, rsi: (ta.EMA(rsi, 9),), uses=("rsi14",)),
    Indicator(("mfi14",), 14, lambda bars: (ta.MFI(bars.high, bars.low, bars.close, bars.volume, 14),)),
    Indicator(("high50", "low50"), 50, lambda bars: (ta.MAX(bars.high, 50), ta.MIN(bars.low, 50))),
    # The standard deviation of the returns of 20 bars.
    Indicator(("volatility20",), 21, lambda bars: (ta.STDDEV(ta.ROCP(bars.close, 1), 20),)),
)

BY_OUTPUT: Final[Mapping[str, Indicator]] = MappingProxyType(
    {name: indicator for indicator in INDICATORS for name in indicator.outputs}
)
