"""Trend: follow a cross of the averages once ADX says that the market is moving."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

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
from nexus_market.features import FeatureColumns
from nexus_market.indicators import Bools, Floats, Ints

CROSS_BARS: Final = 3
FULL_LEAD: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendParameters(ExitParameters):
    """Thresholds of the entry, then the plan to leave."""

    adx_min: float = 25.0
    stop_atr: Decimal = Decimal("1.5")
    target_atr: Decimal = Decimal(3)
    trail_atr: Decimal = Decimal("1.5")


@dataclass(frozen=True, slots=True)
class Cross:
    """Where EMA20 crossed EMA50 toward `sign` within the last closed bars, when (milliseconds), and the gap."""

    sign: int
    recent: Bools
    since: Ints
    gap: Floats

    @property
    def word(self) -> str:
        return "above" if self.sign > 0 else "below"


def trend(view: MarketView, parameters: TrendParameters) -> tuple[Setup, ...]:
    """Exits and entries, long and short, over rows at which everything is ready."""
    bars = view.bars
    gaps = [bars.column("ema20", lag) - bars.column("ema50", lag) for lag in range(CROSS_BARS + 1)]
    up, down = _cross(bars, gaps, 1), _cross(bars, [-gap for gap in gaps], -1)
    setups = []
    for action, cross in ((Action.EXIT_LONG, down), (Action.EXIT_SHORT, up)):
        if cross.recent.any():
            setups.append(_exit(view, action, cross))
    for action, cross in ((Action.ENTER_LONG, up), (Action.ENTER_SHORT, down)):
        if cross.recent.any():
            setups.append(_entry(view, parameters, action, cross))
    return tuple(setups)


def _cross(bars: FeatureColumns, gaps: list[Floats], sign: int) -> Cross:
    recent = np.zeros(len(bars), dtype=np.bool_)
    since = bars.close_time()
    for lag in reversed(range(CROSS_BARS)):
        here = (gaps[lag] > 0.0) & (gaps[lag + 1] <= 0.0)
        recent |= here
        if here.any():
            since = np.where(here, bars.close_time(lag), since)
    return Cross(sign, recent, since, gaps[0])


def _exit(view: MarketView, action: Action, cross: Cross) -> Setup:
    bars = view.bars
    return Setup(
        action=action,
        trigger=cross.recent & (cross.gap > 0.0) & (bars.column("atr14") > 0.0),
        rules=(),
        confidence=np.ones(len(bars)),
        since=cross.since,
        reasons=lambda row: (f"EMA20 crossed {cross.word} EMA50: the opposite cross.",),
    )


def _entry(view: MarketView, parameters: TrendParameters, action: Action, cross: Cross) -> Setup:
    bars, sign, gap = view.bars, cross.sign, cross.gap
    adx = bars.column("adx14")
    lead = sign * (bars.column("plus_di14") - bars.column("minus_di14"))
    aligned = view.macro.at(bars.close_time()) * sign > 0

    def reasons(row: int) -> tuple[str, ...]:
        return (
            f"EMA20 crossed {cross.word} EMA50 within the last {CROSS_BARS} candles "
            f"and is {gap[row]:.6g} beyond it.",
            f"ADX {adx[row]:.1f} is at least {parameters.adx_min:g}.",
            f"The directional index leads by {lead[row]:.1f}.",
            "The 4h view points the same way." if aligned[row] else "The 4h view does not add to it.",
        )

    return Setup(
        action=action,
        trigger=cross.recent,
        rules=(
            Rule("still_crossed", gap > 0.0, lambda row: f"EMA20 is no longer {cross.word} EMA50"),
            Rule(
                "adx", adx >= parameters.adx_min, lambda row: f"ADX {adx[row]:.2f} < {parameters.adx_min:g}"
            ),
            Rule("direction", lead > 0.0, lambda row: f"the directional index leads by {lead[row]:.2f}"),
            moving(bars),
        ),
        confidence=confidence(adx, lead, aligned, parameters),
        since=cross.since,
        reasons=reasons,
    )


def confidence(adx: Floats, lead: Floats, aligned: Bools, parameters: TrendParameters) -> Floats:
    """0.50, up to 0.20 for ADX (full at twice the minimum), up to 0.15 for the lead of the directional index
    (full at 30), and 0.15 for macro alignment: it rises with each of them.
    """
    strength = share(adx - parameters.adx_min, parameters.adx_min)
    return 0.50 + 0.20 * strength + 0.15 * share(lead, FULL_LEAD) + 0.15 * aligned


TREND: Final = Strategy(
    name="trend",
    function=trend,
    parameters=TrendParameters(),
    timeframe=Timeframe.M15,
    timeframes=(Timeframe.M15, Timeframe.H1, Timeframe.H4),
    needs=("ema20", "ema50", "adx14", "plus_di14", "minus_di14", *FEATURES_OF_A_SIGNAL),
    lag=CROSS_BARS,
    bound_to_regime=True,
    description="EMA20 crosses EMA50 while ADX shows a strong move; out on the opposite cross.",
)
