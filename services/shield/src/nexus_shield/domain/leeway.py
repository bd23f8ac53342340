"""How far prices may move before an account's equity means something: the band that needs no mark."""

from __future__ import annotations

from decimal import Decimal
from math import inf

from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.values import Symbol, Venue
from nexus_market.quiet import ANY_PRICE, Band, narrower
from nexus_shield.domain.account_view import Account
from nexus_shield.domain.breaker import PEAK_STEP
from nexus_shield.domain.state import RiskState
from nexus_shield.domain.world import World

# Far above the step that equity is rounded to and the error of floats, far below a price's tick.
SAFETY = 1e-6
ONE = Decimal(1)

Key = tuple[Venue, Symbol]


def quiet_bands(
    world: World, account: Account, state: RiskState, settings: RiskSettings
) -> dict[Key, Band] | None:
    """Prices between which `mark_equity` decides nothing, whatever the others do inside theirs.

    The way to each limit is shared out among the instruments held. None: a limit is reached, or no price is
    known of one of them.
    """
    equity = world.equity(account, state)
    peak = state.peak_since_reset
    if equity.unpriced or peak is None or state.day_equity is None:
        return None
    margin = SAFETY * float(abs(equity.amount) + ONE)
    rise = float(peak * PEAK_STEP - equity.amount) - margin
    fall = inf  # a breaker that is out already does not go off again
    if state.breaker is None:
        lowest = max(state.day_equity * (ONE - settings.daily_loss), peak * (ONE - settings.drawdown))
        fall = float(equity.amount - lowest) - margin
    if rise <= 0 or fall <= 0:
        return None
    return _shared(world, state, rise, fall)


def _shared(world: World, state: RiskState, rise: float, fall: float) -> dict[Key, Band]:
    weights: dict[Key, float] = {}
    for holding in state.holdings.values():
        key = (holding.venue, holding.exposure.symbol)
        signed = float(holding.quantity) * holding.exposure.direction.sign
        weights[key] = weights.get(key, 0.0) + signed
    bands: dict[Key, Band] = {}
    for key, weight in weights.items():
        close = world.market.close(*key)
        if weight == 0.0 or close is None:
            continue
        price, share = float(close.price), abs(weight) * len(weights)
        up, down = (rise, fall) if weight > 0 else (fall, rise)
        bands[key] = narrower((price - down / share, price + up / share), ANY_PRICE)
    return bands
