"""Shark: short the weakest instruments while the whole market bleeds.

So as not to signal at every candle of a long fall, an entry is a new one only when the whole condition did
not hold at the instrument's previous close, or 16 bars after the last one that was raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_cortex.domain.strategies.strategy import (
    FEATURES_OF_A_SIGNAL,
    ExitParameters,
    MarketView,
    Rule,
    Setup,
    Strategy,
    clamped,
)
from nexus_market.features import FeatureColumns
from nexus_market.indicators import Bools, Floats

SHARK_TARGETS: Final = tuple(
    Symbol(f"{coin}USDT")
    for coin in (
        *("SOL", "DOGE", "WIF", "1000PEPE", "1000SHIB", "1000BONK"),
        *("1000FLOKI", "SUI", "SEI", "INJ", "AVAX", "LINK"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharkParameters(ExitParameters):
    """Thresholds of the entry, then the plan to leave."""

    adx_min: float = 25.0
    rsi_min: float = 20.0
    repeat_bars: int = 16
    stop_atr: Decimal = Decimal(1)
    target_atr: Decimal = Decimal(3)
    trail_atr: Decimal = Decimal(1)
    leverage_hint: int | None = 10


def shark(view: MarketView, parameters: SharkParameters) -> tuple[Setup, ...]:
    """Short entries over rows at which everything is ready; nothing for what is not a target."""
    trigger = _triggers(view, 0)
    if not trigger.any():
        return ()
    bars = view.bars
    adx_holds, rsi_holds = _rules(bars, parameters, 0)
    before = _triggers(view, 1) & np.logical_and(*_rules(bars, parameters, 1))
    bar = bars.timeframe.seconds * 1_000
    closed = bars.close_time()
    adx, rsi = bars.column("adx14"), bars.column("rsi14")
    distance = bars.column("ema50") - bars.column("close")
    atr = bars.column("atr14")

    def reasons(row: int) -> tuple[str, ...]:
        return (
            f"Sangria: {view.mood.sangria(view.venue, int(closed[row]))}.",
            f"The close is {distance[row]:.6g} below EMA50, which is below EMA200.",
            f"ADX {adx[row]:.1f} is over {parameters.adx_min:g}.",
            f"RSI {rsi[row]:.1f} is not under {parameters.rsi_min:g}.",
        )

    entry = Setup(
        action=Action.ENTER_SHORT,
        trigger=trigger,
        rules=(
            Rule("adx", adx_holds, lambda row: f"ADX {adx[row]:.2f} <= {parameters.adx_min:g}"),
            Rule("rsi", rsi_holds, lambda row: f"RSI {rsi[row]:.2f} < {parameters.rsi_min:g}"),
            Rule("range", atr > 0.0, lambda row: "ATR is 0: the price does not move"),
        ),
        confidence=confidence(adx, distance, atr, parameters),
        since=np.where(before, closed - (parameters.repeat_bars - 1) * bar, closed),
        reasons=reasons,
    )
    return (entry,)


def _triggers(view: MarketView, lag: int) -> Bools:
    """Close below EMA50 below EMA200 of a target in Sangria, at each row or `lag` bars before it."""
    bars = view.bars
    if not view.is_shark_target:
        return np.zeros(len(bars), dtype=np.bool_)
    middle = bars.column("ema50", lag)
    stacked = (bars.column("close", lag) < middle) & (middle < bars.column("ema200", lag))
    return view.sangria(bars.close_time(lag), stacked)


def _rules(bars: FeatureColumns, parameters: SharkParameters, lag: int) -> tuple[Bools, Bools]:
    return bars.column("adx14", lag) > parameters.adx_min, bars.column("rsi14", lag) >= parameters.rsi_min


def confidence(adx: Floats, distance: Floats, atr: Floats, parameters: SharkParameters) -> Floats:
    """0.60, up to 0.20 for ADX (full at twice the minimum) and up to 0.20 for the distance below EMA50 (full at
    3 ATR): it rises with both.
    """
    strength = clamped((adx - parameters.adx_min) / parameters.adx_min)
    full = np.where(atr > 0.0, 3.0 * atr, 1.0)
    depth = np.minimum(np.maximum(distance, 0.0), full) / full
    return 0.60 + 0.20 * strength + 0.20 * depth


SHARK: Final = Strategy(
    name="shark",
    function=shark,
    parameters=SharkParameters(),
    timeframe=Timeframe.M15,
    timeframes=(Timeframe.M15,),
    needs=("ema50", "ema200", "adx14", "rsi14", *FEATURES_OF_A_SIGNAL),
    lag=1,
    bound_to_regime=False,
    description="Short only, in a Sangria market: close below EMA50 below EMA200 with a strong ADX.",
)
