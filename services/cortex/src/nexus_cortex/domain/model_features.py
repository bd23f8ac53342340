"""What the regime model sees of an instrument: scale-free figures of each 15m close.

Training computes them block by block, cortex row by row, with this one code and the same bits. A figure that
cannot be computed (zero volume, a flat price) is NaN, and for its row there is no prediction. What is simply not
known (4h view warming up, no macro feed) is 0 with its `_known` flag at 0: the flag tells it from a real 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import numpy as np

from nexus_common.contracts.envelope import canonical
from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.regime import SLOPE_BARS, MacroTrend, slope
from nexus_cortex.domain.sangria import DAY_MS
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.features import FeatureColumns
from nexus_market.indicators import Floats, Ints

TIMEFRAME: Final = Timeframe.M15
# To be raised with every change of what a feature means: models made before are then refused.
VERSION: Final = 1
CHANGES: Final = (5, 10, 21)
NEEDS: Final = (
    *("ema20", "ema50", "ema200", "rsi14", "rsi_smoothed", "atr14", "adx14", "plus_di14", "bb_upper"),
    *("macd_histogram", "volume_sma20", "mfi14", "high50", "volatility20"),
)
LAG: Final = max(SLOPE_BARS, *CHANGES)

FEATURES: Final = (
    *("slope_ema20", "slope_ema50", "slope_ema200", "rsi", "rsi_smoothed", "atr", "adx", "di_lead"),
    *("band_width", "band_position", "macd_histogram", "volume"),
    *(f"change_{bars}" for bars in CHANGES),
    *("money_flow", "below_high50", "above_low50", "volatility20"),
    *("macro_slope", "macro_rsi", "macro_known"),
    *("dominance_change", "dominance_known", "cap_change", "cap_known", "fear_greed", "fear_greed_known"),
    *("hour_sine", "hour_cosine", "weekday_sine", "weekday_cosine"),
)

HOUR_MS: Final = 3_600_000
# Sines of whole turns by 24 and by 7, rounded to 12 digits: written down, since they differ between machines.
_SINES_OF_A_QUARTER: Final = (
    *(0.0, 0.258819045103, 0.5, 0.707106781187, 0.866025403784, 0.965925826289),
    *(1.0, 0.965925826289, 0.866025403784, 0.707106781187, 0.5, 0.258819045103),
)
HOUR_SINE: Final = np.array([*_SINES_OF_A_QUARTER, *(-sine for sine in _SINES_OF_A_QUARTER)])
HOUR_COSINE: Final = np.concatenate((HOUR_SINE[6:], HOUR_SINE[:6]))
WEEKDAY_SINE: Final = np.array(
    [0.0, 0.781831482468, 0.974927912182, 0.433883739118, -0.433883739118, -0.974927912182, -0.781831482468]
)
WEEKDAY_COSINE: Final = np.array(
    [1.0, 0.623489801859, -0.222520933956, -0.900968867902, -0.900968867902, -0.222520933956, 0.623489801859]
)
# The Unix epoch was a Thursday; Monday is day 0.
_EPOCH_WEEKDAY: Final = 3


def schema_hash() -> str:
    """SHA-256 over the names and their order, the timeframe, and what the computation rests on."""
    schema = {
        "features": FEATURES,
        "timeframe": TIMEFRAME.value,
        "version": VERSION,
        "changes": CHANGES,
        "slope_bars": SLOPE_BARS,
        "hours": HOUR_SINE.tolist(),
        "weekdays": [WEEKDAY_SINE.tolist(), WEEKDAY_COSINE.tolist()],
    }
    return hashlib.sha256(canonical(schema).encode()).hexdigest()


def first_ready(bars: FeatureColumns) -> int:
    """The first row at which every feature is ready; `len(bars)`: none."""
    return bars.first_ready(NEEDS, LAG)


def matrix(view: MarketView) -> Floats:
    """Rows by `FEATURES`, for a view of 15m bars whose rows are all ready.

    Raises:
        ValueError: the bars are not of 15m.
    """
    if view.bars.timeframe is not TIMEFRAME:
        raise ValueError(f"the model sees {TIMEFRAME} bars, not {view.bars.timeframe}")
    times = view.bars.close_time()
    columns = (
        *_of_bars(view.bars),
        *_of_macro(view.macro, times),
        *_known(view.mood.dominance_change, times),
        *_known(view.mood.cap_change, times),
        *_known(view.mood.fear_greed, times),
        *_of_clock(times),
    )
    return np.stack(columns, axis=1)


def _of_bars(bars: FeatureColumns) -> tuple[Floats, ...]:
    close, lower = bars.column("close"), bars.column("bb_lower")
    width = bars.column("bb_upper") - lower
    return (
        slope(bars, "ema20"),
        slope(bars, "ema50"),
        slope(bars, "ema200"),
        bars.column("rsi14"),
        bars.column("rsi_smoothed"),
        bars.column("atr14") / close,
        bars.column("adx14"),
        bars.column("plus_di14") - bars.column("minus_di14"),
        width / close,
        over(close - lower, width),
        bars.column("macd_histogram") / close,
        over(bars.column("volume"), bars.column("volume_sma20")),
        *(close / bars.column("close", lag) - 1.0 for lag in CHANGES),
        bars.column("mfi14"),
        bars.column("high50") / close - 1.0,
        1.0 - bars.column("low50") / close,
        bars.column("volatility20"),
    )


def over(part: Floats, whole: Floats) -> Floats:
    """The quotient; NaN where the whole is not above 0."""
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0.0)


def _of_macro(macro: MacroTrend, times: Ints) -> tuple[Floats, Floats, Floats]:
    index = macro.index_at(times)
    known = index >= 0
    if not known.any():
        return np.zeros(len(times)), np.zeros(len(times)), np.zeros(len(times))
    return (
        np.where(known, macro.slope[index], 0.0),
        np.where(known, macro.rsi[index], 0.0),
        known.astype(np.float64),
    )


def _known(figure: Callable[[int], float | None], times: Ints) -> tuple[Floats, Floats]:
    """A figure at each time, 0 where it is not known, and whether it is."""
    values = [figure(time) for time in times.tolist()]
    return (
        np.array([0.0 if value is None else value for value in values]),
        np.array([0.0 if value is None else 1.0 for value in values]),
    )


def _of_clock(times: Ints) -> tuple[Floats, ...]:
    hour = times // HOUR_MS % 24
    weekday = (times // DAY_MS + _EPOCH_WEEKDAY) % 7
    return HOUR_SINE[hour], HOUR_COSINE[hour], WEEKDAY_SINE[weekday], WEEKDAY_COSINE[weekday]
