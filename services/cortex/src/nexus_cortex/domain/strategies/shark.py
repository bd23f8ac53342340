"""Shark: short the weakest instruments while the whole market bleeds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_cortex.domain.strategies.strategy import (
    FEATURES_OF_A_SIGNAL,
    ExitParameters,
    MarketView,
    Rule,
    Setup,
    Strategy,
    moving,
    share,
)
from nexus_market.indicators import Floats

FULL_DEPTH_ATR: Final = 3.0
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
    stop_atr: Decimal = Decimal(1)
    target_atr: Decimal = Decimal(3)
    trail_atr: Decimal = Decimal(1)
    leverage_hint: int | None = 10


def shark(view: MarketView, parameters: SharkParameters) -> tuple[Setup, ...]:
    """Short entries over rows at which everything is ready; nothing for what is not a target, such as a stock."""
    if not (view.is_shark_target and view.venue.is_crypto):
        return ()
    bars = view.bars
    closed, middle = bars.close_time(), bars.column("ema50")
    stacked = (bars.column("close") < middle) & (middle < bars.column("ema200"))
    trigger = view.sangria(closed, stacked)
    if not trigger.any():
        return ()
    adx, rsi, atr = bars.column("adx14"), bars.column("rsi14"), bars.column("atr14")
    distance = middle - bars.column("close")

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
            Rule(
                "adx", adx > parameters.adx_min, lambda row: f"ADX {adx[row]:.2f} <= {parameters.adx_min:g}"
            ),
            Rule(
                "rsi", rsi >= parameters.rsi_min, lambda row: f"RSI {rsi[row]:.2f} < {parameters.rsi_min:g}"
            ),
            moving(bars),
        ),
        confidence=confidence(adx, distance, atr, parameters),
        since=closed,
        reasons=reasons,
    )
    return (entry,)


def confidence(adx: Floats, distance: Floats, atr: Floats, parameters: SharkParameters) -> Floats:
    """0.60, up to 0.20 for ADX (full at twice the minimum) and up to 0.20 for the distance below EMA50 (full at
    3 ATR): it rises with both.
    """
    strength = share(adx - parameters.adx_min, parameters.adx_min)
    return 0.60 + 0.20 * strength + 0.20 * share(distance, FULL_DEPTH_ATR * atr)


SHARK: Final = Strategy(
    name="shark",
    function=shark,
    parameters=SharkParameters(),
    timeframe=Timeframe.M15,
    timeframes=(Timeframe.M15,),
    needs=("ema50", "ema200", "adx14", "rsi14", *FEATURES_OF_A_SIGNAL),
    lag=0,
    bound_to_regime=False,
    description="Short only, in a Sangria market: close below EMA50 below EMA200 with a strong ADX.",
)
