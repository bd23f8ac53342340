"""After a black swan, for users who opted in: shark's targets as requests to go short, judged like any other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from nexus_common.contracts.assessment import EntryRequest
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.ids import derived
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.message import Event
from nexus_common.contracts.signal import ExitPlan
from nexus_common.contracts.values import Direction, Origin, Symbol, Timeframe, Venue
from nexus_shield.domain.breaker import SHARK
from nexus_shield.domain.world import World

# Shark's own plan, in ATR: stop 1, target 3, trailing 1 after 1 R; its leverage hint and time stop.
STOP_ATR: Final = Decimal(1)
TARGET_ATR: Final = Decimal(3)
TRAIL_ATR: Final = Decimal(1)
TRAIL_AFTER_R: Final = Decimal(1)
LEVERAGE: Final = 10
TIME_STOP_BARS: Final = 96


def shark_shorts(
    world: World,
    venue: Venue,
    targets: Iterable[Symbol],
    settings: RiskSettings,
    declared: Envelope[Event],
    at: datetime,
) -> Iterator[EntryRequest]:
    """One request for each target that the venue lists; the fall itself is the regime."""
    for symbol in targets:
        close = world.market.close(venue, symbol)
        if (venue, symbol) not in world.instruments or close is None:
            continue
        atr = world.market.atr(venue, symbol)
        yield EntryRequest(
            request_id=derived(declared.event_id, f"{venue}/{symbol}"),
            origin=Origin.SIGNAL,
            venue=venue,
            symbol=symbol,
            direction=Direction.SHORT,
            strategy=SHARK,
            timeframe=Timeframe.M15,
            price=close.price,
            price_at=close.at,
            # A fall comes between two bars: the last close may be one bar older than a signal's.
            price_age_limit_seconds=settings.max_price_age_seconds + close.timeframe.seconds,
            atr=atr,
            atr_mean=None,
            plan=None if atr is None else plan_of(atr),
            confidence=Decimal(1),
            leverage=LEVERAGE,
            within_regime=True,
            valid_until=at + timedelta(seconds=settings.proposal_seconds),
        )


def plan_of(atr: Decimal) -> ExitPlan:
    return ExitPlan(
        stop_distance=atr * STOP_ATR,
        target_distance=atr * TARGET_ATR,
        trail_distance=atr * TRAIL_ATR,
        trail_after_r=TRAIL_AFTER_R,
        time_stop_bars=TIME_STOP_BARS,
    )
