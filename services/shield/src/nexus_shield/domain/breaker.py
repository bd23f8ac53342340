"""Pauses: the circuit breaker, the cooldown, a strategy's rest."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.trade import ExitReason
from nexus_common.contracts.values import Timeframe

PEAK_STEP = Decimal("1.001")
CALM = Decimal(2)
WILD = Decimal("0.5")
SHARK: Final = "shark"


def cooldown(
    settings: RiskSettings, timeframe: Timeframe, atr: Decimal | None, atr_mean: Decimal | None
) -> timedelta:
    """How long an instrument is left alone: longer when it is calmer than usual, shorter when it is wilder."""
    base = max(settings.cooldown_seconds, settings.cooldown_bars * timeframe.seconds)
    if not atr or not atr_mean:
        return timedelta(seconds=base)
    factor = min(max(atr_mean / atr, WILD), CALM)
    return timedelta(seconds=int(base * factor))


def rest_until(settings: RiskSettings, strategy: str, reason: str, at: datetime) -> datetime | None:
    """Until when shark keeps away from an instrument that stopped it out."""
    if strategy != SHARK or reason not in (ExitReason.STOP, ExitReason.LIQUIDATION):
        return None
    return at + settings.rest_bars * Timeframe.M15.duration


def utc_day(at: datetime) -> str:
    """The day that a loss counts for: `2021-05-19`."""
    return at.date().isoformat()


def loss_of_day(equity: Decimal, opening: Decimal | None) -> Decimal:
    """The fraction of the day's first equity that is gone, open loss included."""
    if opening is None or opening <= 0:
        return Decimal(0)
    return max((opening - equity) / opening, Decimal(0))


def is_higher(equity: Decimal, peak: Decimal | None) -> bool:
    """Whether a peak is worth recording anew: by a thousandth, or the first one."""
    return equity > 0 if peak is None else equity >= peak * PEAK_STEP
