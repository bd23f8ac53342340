"""Mean reversion: a price outside its bands whose momentum no longer follows goes back to the middle."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from nexus_common.contracts.signal import Action, ExitPlan
from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.figures import candles_ago, decimal_of
from nexus_cortex.domain.strategies.strategy import (
    FEATURES_OF_A_SIGNAL,
    ExitParameters,
    MarketView,
    Rule,
    Setup,
    Strategy,
    moving,
    plan_by_atr,
    share,
)
from nexus_market.features import FeatureColumns
from nexus_market.indicators import Bools, Floats, Ints

DIVERGENCE_BARS: Final = 20
FULL_DIVERGENCE: Final = 10.0
# RSI after a close like the last one is the same but for rounding; what is less than this is no gain.
GAIN_MIN: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanReversionParameters(ExitParameters):
    """The plan to leave. The target is the middle band, but no nearer than `target_atr` and than the stop (1 R)."""

    stop_atr: Decimal = Decimal(2)
    target_atr: Decimal = Decimal(2)
    trail_atr: Decimal = Decimal("1.5")


@dataclass(frozen=True, slots=True)
class Divergence:
    """The price against its extreme of the bars before, `back` bars ago, and what RSI was there.

    `holds`: the price went further than there while RSI, by `gain` points, did not.
    """

    holds: Bools
    back: Ints
    extreme: Floats
    rsi: Floats
    gain: Floats


def mean_reversion(view: MarketView, parameters: MeanReversionParameters) -> tuple[Setup, ...]:
    """Exits and entries, long and short, over rows at which everything is ready."""
    bars = view.bars
    close, middle = bars.column("close"), bars.column("bb_middle")
    setups = []
    for action, back in ((Action.EXIT_LONG, close >= middle), (Action.EXIT_SHORT, close <= middle)):
        trigger = back & (bars.column("atr14") > 0.0)
        if trigger.any():
            setups.append(_exit(bars, action, trigger))
    below, above = close <= bars.column("bb_lower"), close >= bars.column("bb_upper")
    for action, trigger in ((Action.ENTER_LONG, below), (Action.ENTER_SHORT, above)):
        if trigger.any():
            setups.append(_entry(bars, parameters, action, trigger))
    return tuple(setups)


def _exit(bars: FeatureColumns, action: Action, trigger: Bools) -> Setup:
    close, middle = bars.column("close"), bars.column("bb_middle")
    side = "over" if action is Action.EXIT_LONG else "under"
    return Setup(
        action=action,
        trigger=trigger,
        rules=(),
        confidence=np.ones(len(bars)),
        since=bars.close_time(),
        reasons=lambda row: (
            f"The close {close[row]:.6g} is at or {side} the middle band {middle[row]:.6g}.",
        ),
    )


def _entry(
    bars: FeatureColumns, parameters: MeanReversionParameters, action: Action, trigger: Bools
) -> Setup:
    sign = action.direction.sign
    close, middle, rsi = bars.column("close"), bars.column("bb_middle"), bars.column("rsi14")
    band = bars.column("bb_lower" if sign > 0 else "bb_upper")
    price = bars.column("low" if sign > 0 else "high")
    found = divergence(bars, sign)
    beyond = sign * (band - close)
    side, edge, further = ("lower", "low", "under") if sign > 0 else ("upper", "high", "over")

    def figures(row: int) -> str:
        return (
            f"{edge} {price[row]:.6g} after {found.extreme[row]:.6g} {candles_ago(int(found.back[row]))}, "
            f"RSI {rsi[row]:.1f} after {found.rsi[row]:.1f}"
        )

    def reasons(row: int) -> tuple[str, ...]:
        return (
            f"The close {close[row]:.6g} is at or beyond the {side} band {band[row]:.6g}.",
            f"Momentum does not follow: {figures(row)}.",
            f"The middle band is at {middle[row]:.6g}.",
        )

    def plan(row: int, atr: Decimal) -> ExitPlan:
        usual = plan_by_atr(parameters, atr)
        far = decimal_of(sign * (middle[row] - close[row]))
        return usual.model_copy(
            update={"target_distance": max(far, usual.target_distance, usual.stop_distance)}
        )

    return Setup(
        action=action,
        trigger=trigger,
        rules=(
            Rule(
                "divergence",
                found.holds,
                lambda row: f"the {edge} is not {further}, or RSI is: {figures(row)}",
            ),
            moving(bars),
        ),
        confidence=confidence(beyond, found.gain, bars.column("atr14")),
        since=bars.close_time(),
        reasons=reasons,
        plan=plan,
    )


def divergence(bars: FeatureColumns, sign: int) -> Divergence:
    """For a long (`sign` +1) a low under the lowest of the 20 bars before, with a higher RSI than at that bar; for a
    short (-1) the mirror. Of equal extremes the latest counts.
    """
    name = "low" if sign > 0 else "high"
    here, rsi_here = sign * bars.column(name), bars.column("rsi14")
    extreme, rsi = sign * bars.column(name, 1), bars.column("rsi14", 1)
    back = np.ones(len(bars), dtype=np.int64)
    for lag in range(2, DIVERGENCE_BARS + 1):
        earlier = sign * bars.column(name, lag)
        is_further = earlier < extreme
        extreme = np.where(is_further, earlier, extreme)
        rsi = np.where(is_further, bars.column("rsi14", lag), rsi)
        back = np.where(is_further, lag, back)
    gain = sign * (rsi_here - rsi)
    return Divergence((here < extreme) & (gain > GAIN_MIN), back, sign * extreme, rsi, gain)


def confidence(beyond: Floats, gain: Floats, atr: Floats) -> Floats:
    """0.50, up to 0.25 for how far the close is beyond the band (full at 1 ATR) and up to 0.25 for the points that
    RSI gained since the extreme before (full at 10): it rises with both.
    """
    return 0.50 + 0.25 * share(beyond, atr) + 0.25 * share(gain, FULL_DIVERGENCE)


MEAN_REVERSION: Final = Strategy(
    name="mean_reversion",
    function=mean_reversion,
    parameters=MeanReversionParameters(),
    timeframe=Timeframe.H1,
    timeframes=(Timeframe.H1, Timeframe.H4),
    needs=("bb_upper", "bb_middle", "bb_lower", "rsi14", *FEATURES_OF_A_SIGNAL),
    lag=DIVERGENCE_BARS,
    bound_to_regime=True,
    description="A close outside the bands that RSI does not confirm; out at the middle band.",
)
