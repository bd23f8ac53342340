"""The regime by rules: which kind of market an instrument is in, and which strategy fits it.

Read on the main view (15m) at each close; it holds until the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from nexus_common.contracts.signal import Regime, RegimeReading
from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.figures import decimal_of
from nexus_market.features import FeatureColumns, blocks
from nexus_market.indicators import Bars, Floats, Ints

MODEL_VERSION: Final = "rules"
NEEDS: Final = ("ema20", "ema50", "adx14", "atr14", "bb_upper")
MACRO_NEEDS: Final = ("ema20", "ema50", "rsi14")
SLOPE_BARS: Final = 5


class Reading(NamedTuple):
    """One row of the rule table; `also` may trade when `strategy` does not."""

    regime: Regime
    strategy: str
    confidence: str
    also: tuple[str, ...] = ()


READINGS: Final = (
    Reading(Regime.VOLATILE, "scalping", "0.85"),
    Reading(Regime.TREND, "trend", "0.85"),
    Reading(Regime.TREND, "trend", "0.70"),
    Reading(Regime.VOLATILE, "scalping", "0.75"),
    Reading(Regime.TREND, "trend", "0.75", also=("mean_reversion",)),
    Reading(Regime.TREND, "trend", "0.60", also=("mean_reversion",)),
    Reading(Regime.RANGE_TIGHT, "grid", "0.70"),
    Reading(Regime.RANGE_WIDE, "mean_reversion", "0.70"),
    Reading(Regime.NORMAL, "mean_reversion", "0.50"),
)


@dataclass(frozen=True, slots=True)
class MacroTrend:
    """Where the macro view (4h) points from each of its closes on: +1 up, -1 down, 0 neither.

    Up: close and EMA20 both above EMA50; down: both below. Only closes at which both are ready are listed.
    `slope` is what EMA20 gained a bar over the last 5, as a fraction of the close; `rsi` is RSI 14.
    """

    close_time: Ints
    direction: Ints
    slope: Floats
    rsi: Floats

    def at(self, times: Ints) -> Ints:
        """The direction last known at each time (milliseconds); 0 also where none is known."""
        index = self.index_at(times)
        return np.where(index >= 0, self.direction[index], 0) if len(self.direction) else np.zeros_like(times)

    def index_at(self, times: Ints) -> Ints:
        """Where the close last known at each time (milliseconds) stands in the arrays; -1 where none is."""
        return np.searchsorted(self.close_time, times, side="right") - 1

    def is_known(self, time: int) -> bool:
        return len(self.close_time) > 0 and bool(self.close_time[0] <= time)


NO_MACRO: Final = MacroTrend(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))


def macro_trend(columns: FeatureColumns) -> MacroTrend:
    """The direction at each ready row of 4h columns."""
    ready = columns.since(columns.first_ready(MACRO_NEEDS))
    if not len(ready):
        return NO_MACRO
    slow = ready.column("ema50")
    close, fast = ready.column("close"), ready.column("ema20")
    up, down = (close > slow) & (fast > slow), (close < slow) & (fast < slow)
    return MacroTrend(
        ready.close_time(),
        up.astype(np.int64) - down.astype(np.int64),
        slope(ready, "ema20"),
        ready.column("rsi14"),
    )


def slope(columns: FeatureColumns, name: str) -> Floats:
    """What an average gained a bar over the last 5, as a fraction of the close; its rows are ready that far back."""
    gain = columns.column(name) - columns.column(name, SLOPE_BARS)
    return gain / SLOPE_BARS / columns.column("close")


def macro_trend_of(bars: Bars) -> MacroTrend:
    """The direction at each close of a whole 4h series."""
    parts = [macro_trend(columns) for columns in blocks(bars, Timeframe.H4)]
    if not parts:
        return NO_MACRO
    return MacroTrend(
        np.concatenate([part.close_time for part in parts]),
        np.concatenate([part.direction for part in parts]),
        np.concatenate([part.slope for part in parts]),
        np.concatenate([part.rsi for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class RegimeColumns:
    """For each row the number of its reading in `READINGS`, and the figures it rests on."""

    number: Ints
    atr_percent: Floats
    adx: Floats
    divergence: Floats
    band_width_percent: Floats
    macro: Ints

    def reading(self, row: int) -> RegimeReading:
        rule = READINGS[self.number[row]]
        return RegimeReading(
            regime=rule.regime,
            strategy=rule.strategy,
            confidence=decimal_of(float(rule.confidence)),
            model_version=MODEL_VERSION,
            inputs={
                "adx": decimal_of(self.adx[row]),
                "atr_percent": decimal_of(self.atr_percent[row]),
                "band_width_percent": decimal_of(self.band_width_percent[row]),
                "divergence": decimal_of(self.divergence[row]),
                "macro_direction": decimal_of(self.macro[row]),
            },
            also=rule.also,
        )


def read_regime(columns: FeatureColumns, macro: MacroTrend) -> RegimeColumns:
    """The rule table over rows at which `NEEDS` are ready; percentages are of the close.

    Macro is aligned when 4h points the way that EMA20 lies from EMA50 here. Of the two ways into the fourth
    rule, ADX is the surer one (0.75), divergence alone the weaker (0.60).
    """
    close = columns.column("close")
    spread = columns.column("ema20") - columns.column("ema50")
    adx = columns.column("adx14")
    atr = columns.column("atr14") / close * 100.0
    width = (columns.column("bb_upper") - columns.column("bb_lower")) / close * 100.0
    divergence = np.abs(spread) / close * 1_000.0
    direction = macro.at(columns.close_time())
    aligned = spread * direction > 0.0
    ranging = (adx < 18.0) & (divergence < 3.0)
    conditions = [
        atr > 2.0,
        (adx > 30.0) & (divergence > 5.0) & aligned,
        (adx > 30.0) & (divergence > 5.0),
        (atr > 1.0) & (adx < 30.0),
        adx > 20.0,
        divergence > 4.0,
        ranging & (width < 2.5),
        ranging,
    ]
    number = np.full(len(columns), len(conditions), dtype=np.int64)
    for index in reversed(range(len(conditions))):
        number[conditions[index]] = index
    return RegimeColumns(number, atr, adx, divergence, width, direction)
