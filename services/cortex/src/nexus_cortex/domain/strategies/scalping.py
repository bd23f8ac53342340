"""Scalping: a short move against a price that ran too far on a burst of volume."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Timeframe
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
from nexus_market.indicators import Bools, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalpingParameters(ExitParameters):
    """Thresholds of the entry, then the plan to leave. A short asks for an RSI over 100 less `rsi_max`."""

    rsi_max: float = 30.0
    volume_ratio_min: float = 1.5
    stop_atr: Decimal = Decimal(1)
    target_atr: Decimal = Decimal("1.5")
    trail_atr: Decimal = Decimal(1)
    time_stop_bars: int = 12


def scalping(view: MarketView, parameters: ScalpingParameters) -> tuple[Setup, ...]:
    """Entries, long and short, over rows at which everything is ready."""
    rsi = view.bars.column("rsi14")
    setups = []
    for action, sided in ((Action.ENTER_LONG, rsi), (Action.ENTER_SHORT, 100.0 - rsi)):
        # TA-Lib says 0 also where no two closes differ, which is no reading.
        trigger = (sided < parameters.rsi_max) & (sided > 0.0)
        if trigger.any():
            setups.append(_entry(view, parameters, action, sided, trigger))
    return tuple(setups)


def _entry(
    view: MarketView, parameters: ScalpingParameters, action: Action, sided: Floats, trigger: Bools
) -> Setup:
    """`sided` is RSI as a long sees it: for a short, 100 less RSI."""
    bars = view.bars
    rsi, volume, average = bars.column("rsi14"), bars.column("volume"), bars.column("volume_sma20")
    enough = parameters.volume_ratio_min * average
    limit = parameters.rsi_max if action is Action.ENTER_LONG else 100.0 - parameters.rsi_max
    beyond = "under" if action is Action.ENTER_LONG else "over"

    def volumes(row: int) -> str:
        return f"volume {volume[row]:.6g}, on average {average[row]:.6g} over 20 candles"

    def reasons(row: int) -> tuple[str, ...]:
        return (
            f"RSI {rsi[row]:.2f} is {beyond} {limit:g}.",
            f"{volumes(row).capitalize()}: at least {parameters.volume_ratio_min:g} times that.",
        )

    return Setup(
        action=action,
        trigger=trigger,
        rules=(
            Rule(
                "volume",
                # Without volume there is no burst of it: 0 is not 1.5 times 0.
                (average > 0.0) & (volume > 0.0) & (volume >= enough),
                lambda row: f"{volumes(row)}: less than {parameters.volume_ratio_min:g} times that",
            ),
            moving(bars),
        ),
        confidence=confidence(sided, volume, average, parameters),
        since=bars.close_time(),
        reasons=reasons,
    )


def confidence(sided: Floats, volume: Floats, average: Floats, parameters: ScalpingParameters) -> Floats:
    """0.50, up to 0.25 for RSI (full at 0, for a short at 100) and up to 0.25 for volume (full at twice what is
    asked for): it rises as RSI runs further and with volume.
    """
    stretch = share(parameters.rsi_max - sided, parameters.rsi_max)
    enough = parameters.volume_ratio_min * average
    return 0.50 + 0.25 * stretch + 0.25 * share(volume - enough, enough)


SCALPING: Final = Strategy(
    name="scalping",
    function=scalping,
    parameters=ScalpingParameters(),
    timeframe=Timeframe.M5,
    timeframes=(Timeframe.M5, Timeframe.M15),
    needs=("rsi14", "volume_sma20", *FEATURES_OF_A_SIGNAL),
    lag=0,
    bound_to_regime=True,
    description="RSI at an extreme on a burst of volume; a quick move back, or out after 12 candles.",
)
