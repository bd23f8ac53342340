"""From a signal, or a person's wish, to the request that is judged."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from nexus_common.contracts.assessment import EntryRequest
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.session import OrderRequested
from nexus_common.contracts.signal import ExitPlan, SignalRaised
from nexus_common.contracts.values import Origin, Timeframe, Venue
from nexus_shield.domain.market_view import Close

MANUAL = "manual"
MANUAL_TIME_STOP_BARS = 96


def request_of_signal(signal: SignalRaised, request_id: UUID, settings: RiskSettings) -> EntryRequest:
    return EntryRequest(
        request_id=request_id,
        origin=Origin.SIGNAL,
        venue=signal.venue,
        symbol=signal.symbol,
        direction=signal.action.direction,
        strategy=signal.strategy,
        timeframe=signal.timeframe,
        price=signal.price,
        price_at=signal.candle_close,
        price_age_limit_seconds=settings.max_price_age_seconds,
        atr=signal.atr,
        atr_mean=signal.atr_mean,
        plan=signal.plan,
        confidence=signal.confidence,
        leverage=signal.leverage_hint,
        within_regime=signal.within_regime,
        valid_until=signal.valid_until,
        ladder=signal.ladder,
    )


def request_by_hand(
    wish: OrderRequested,
    request_id: UUID,
    venue: Venue,
    close: Close | None,
    atr: Decimal | None,
    settings: RiskSettings,
    at: datetime,
) -> EntryRequest:
    """Between two bars the last close is the price: it may be one bar older than a signal's."""
    bar_seconds = 0 if close is None else close.timeframe.seconds
    return EntryRequest(
        request_id=request_id,
        origin=Origin.MANUAL,
        venue=venue,
        symbol=wish.symbol,
        direction=wish.direction,
        strategy=MANUAL,
        timeframe=Timeframe.M15,
        price=None if close is None else close.price,
        price_at=None if close is None else close.at,
        price_age_limit_seconds=settings.max_price_age_seconds + bar_seconds,
        atr=atr,
        atr_mean=None,
        plan=None if close is None else plan_by_hand(close.price, wish.stop_fraction, atr, settings),
        confidence=Decimal(1),
        leverage=wish.leverage,
        within_regime=False,
        valid_until=at + timedelta(seconds=settings.proposal_seconds),
    )


def plan_by_hand(
    price: Decimal, stop_fraction: Decimal | None, atr: Decimal | None, settings: RiskSettings
) -> ExitPlan | None:
    """Stop, target and trail by ATR (2, 4, 1.5); with a stop of one's own the others keep their proportions to it.

    Who names no stop leaves it to us: then it is never wider than what is allowed.
    """
    if stop_fraction:
        unit = price * stop_fraction / settings.manual_stop_atr
    elif atr is not None:
        unit = min(atr, price * settings.max_stop_fraction / settings.manual_stop_atr)
    else:
        return None
    return ExitPlan(
        stop_distance=unit * settings.manual_stop_atr,
        target_distance=unit * settings.manual_target_atr,
        trail_distance=unit * settings.manual_trail_atr,
        trail_after_r=Decimal(1),
        time_stop_bars=MANUAL_TIME_STOP_BARS,
    )
