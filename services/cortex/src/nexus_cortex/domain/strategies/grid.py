"""Grid: a ladder of resting orders around a long average, while the market goes nowhere.

The whole ladder is one decision and one position: opened where its centre is near and its levels pay for their
fees, closed as soon as the market begins to trend.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from nexus_common.contracts.signal import Action, ExitPlan, LadderPlan
from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.figures import decimal_of
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
from nexus_market.indicators import Bools, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class GridParameters(ExitParameters):
    """Thresholds of the opening, then the ladder: `levels` a side, `target_atr` apart, so that a fill takes its profit
    one level back; the stop lies `stop_atr` beyond the last level. A ladder is not trailed: its plan merely has to
    name a distance.
    """

    centre_atr_max: float = 0.5
    adx_max: float = 25.0
    cost_multiple_min: float = 3.0
    levels: int = 5
    stop_atr: Decimal = Decimal(1)
    target_atr: Decimal = Decimal("0.4")
    trail_atr: Decimal = Decimal("0.4")


def grid(view: MarketView, parameters: GridParameters) -> tuple[Setup, ...]:
    """Closings and openings of the ladder, over rows at which everything is ready."""
    bars = view.bars
    atr = bars.column("atr14")
    distance = np.abs(bars.column("close") - bars.column("ema200"))
    trending = (bars.column("adx14") > parameters.adx_max) & (atr > 0.0)
    near = distance <= parameters.centre_atr_max * atr
    setups = []
    if trending.any():
        setups.append(_closing(bars, parameters, trending))
    if near.any():
        setups.append(_opening(view, parameters, distance, near))
    return tuple(setups)


def _closing(bars: FeatureColumns, parameters: GridParameters, trigger: Bools) -> Setup:
    adx = bars.column("adx14")
    return Setup(
        action=Action.CLOSE_GRID,
        trigger=trigger,
        rules=(),
        confidence=np.ones(len(bars)),
        since=bars.close_time(),
        reasons=lambda row: (f"ADX {adx[row]:.1f} is over {parameters.adx_max:g}: the market trends.",),
    )


def _opening(view: MarketView, parameters: GridParameters, distance: Floats, trigger: Bools) -> Setup:
    bars = view.bars
    adx, atr, centre = bars.column("adx14"), bars.column("atr14"), bars.column("ema200")

    def ladder(row: int) -> LadderPlan:
        return ladder_of(parameters, decimal_of(centre[row]), decimal_of(atr[row]))

    def plan(row: int, atr: Decimal) -> ExitPlan:
        return plan_by_atr(parameters, atr).model_copy(update={"stop_distance": ladder(row).reach})

    def reasons(row: int) -> tuple[str, ...]:
        return (
            f"The close is {distance[row]:.6g} from EMA200 {centre[row]:.6g}, the centre: "
            f"at most {parameters.centre_atr_max:g} ATR of {atr[row]:.6g}.",
            f"ADX {adx[row]:.1f} is not over {parameters.adx_max:g}.",
            f"{parameters.levels} levels a side, {float(parameters.target_atr) * atr[row]:.6g} apart.",
        )

    return Setup(
        action=Action.OPEN_GRID,
        trigger=trigger,
        rules=(
            Rule(
                "adx", adx <= parameters.adx_max, lambda row: f"ADX {adx[row]:.2f} > {parameters.adx_max:g}"
            ),
            _worth_its_cost(view, parameters),
            _above_zero(bars, parameters),
            moving(bars),
        ),
        confidence=confidence(adx, distance, atr, parameters),
        since=bars.close_time(),
        reasons=reasons,
        plan=plan,
        ladder=ladder,
    )


def ladder_of(parameters: GridParameters, centre: Decimal, atr: Decimal) -> LadderPlan:
    """The ladder around a centre, every distance a multiple of ATR."""
    return LadderPlan(
        centre=centre,
        spacing=parameters.target_atr * atr,
        levels=parameters.levels,
        stop_beyond=parameters.stop_atr * atr,
    )


def _worth_its_cost(view: MarketView, parameters: GridParameters) -> Rule:
    """What a fill and its take-profit earn, one level, against the fees of both."""
    bars, fee, multiple = view.bars, view.maker_fee, parameters.cost_multiple_min
    spacing = float(parameters.target_atr) * bars.column("atr14")
    if fee is None:
        unknown = np.zeros(len(bars), dtype=np.bool_)
        return Rule("cost", unknown, lambda row: "the venue did not say what a resting order costs")
    cost = 2.0 * fee * bars.column("close")
    return Rule(
        "cost",
        spacing >= multiple * cost,
        lambda row: f"spacing {spacing[row]:.6g} < {multiple:g} times the round trip's cost {cost[row]:.6g}",
    )


def _above_zero(bars: FeatureColumns, parameters: GridParameters) -> Rule:
    """After a single huge print ATR may be so wide that the ladder would reach below a price of 0."""
    reach = float(parameters.levels * parameters.target_atr + parameters.stop_atr) * bars.column("atr14")
    centre = bars.column("ema200")
    return Rule("reach", reach < centre, lambda row: f"reach {reach[row]:.6g} >= centre {centre[row]:.6g}")


def confidence(adx: Floats, distance: Floats, atr: Floats, parameters: GridParameters) -> Floats:
    """0.50, up to 0.25 for a low ADX (full at 0) and up to 0.25 for a near centre (full at it): it falls with both
    ADX and the distance.
    """
    calm = share(parameters.adx_max - adx, parameters.adx_max)
    near = 1.0 - share(distance, parameters.centre_atr_max * atr)
    return 0.50 + 0.25 * calm + 0.25 * near


GRID: Final = Strategy(
    name="grid",
    function=grid,
    parameters=GridParameters(),
    timeframe=Timeframe.H1,
    timeframes=(Timeframe.M15, Timeframe.H1, Timeframe.H4),
    needs=("ema200", "adx14", *FEATURES_OF_A_SIGNAL),
    lag=0,
    bound_to_regime=True,
    description="A ladder of resting orders around EMA200 while ADX shows no trend; closed when it does.",
)
