"""When a held trade is to be changed because a bar closed or time passed, and at which prices that can be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.market import Candle
from nexus_common.contracts.order import Leg
from nexus_common.contracts.trade import ExitReason, MoveStop, MoveTargets, OrderExit, ReachTarget
from nexus_common.contracts.values import Direction
from nexus_executor.domain.figures import break_even_price, plain
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade import TradeState
from nexus_executor.domain.traits import Trailing, VenueTraits
from nexus_market.instruments import round_stop, round_target

# How far of the way to the target the price has come, and by how much of it the target moves out then.
PROGRESS: Final = (
    (Decimal("0.85"), Decimal("0.75")),
    (Decimal("0.70"), Decimal("0.50")),
    (Decimal("0.50"), Decimal("0.25")),
)


class Due(NamedTuple):
    """What a closed bar leads to; `purpose` names it among everything the trade was ever told."""

    command: MoveStop | MoveTargets | ReachTarget | OrderExit
    purpose: str


class Managed(NamedTuple):
    """A held trade, and what its management depends on."""

    trade: TradeState
    instrument: Instrument
    traits: VenueTraits
    rules: ExecutionRules

    @property
    def direction(self) -> Direction:
        return self.trade.terms.direction

    @property
    def sign(self) -> int:
        return self.direction.sign

    def best(self, bar: Candle) -> Decimal:
        """The bar's most favourable price."""
        return bar.high if self.direction is Direction.LONG else bar.low

    def has_come_to(self, price: Decimal, level: Decimal) -> bool:
        return (price - level) * self.sign >= 0


def due(held: Managed, bar: Candle, at: datetime) -> Due | None:
    """The first thing that this bar makes necessary; asked again after it was done, the next one."""
    for find in (_targets_due, _progress_due, _break_even_due, _trail_due):
        found = find(held, bar, at)
        if found is not None:
            return found
    return None


def levels(held: Managed) -> Iterator[Decimal]:
    """Prices before which no bar makes anything due."""
    level = break_even_level(held.trade, held.rules)
    if level is not None:
        yield level
    yield from (price for _, price in _waiting_targets(held))
    yield from (price for price, _ in _progress_levels(held))
    trail = _trail_level(held)
    if trail is not None:
        yield trail


def time_stop_due(trade: TradeState, begun: datetime | None) -> datetime | None:
    """The plan's number of bars of the trade's timeframe after it has begun."""
    if begun is None:
        return None
    return begun + trade.terms.plan.time_stop_bars * trade.terms.timeframe.duration


# -- break-even ---------------------------------------------------------------------------------------


def break_even_level(trade: TradeState, rules: ExecutionRules) -> Decimal | None:
    """The price at which the gain reaches 1 R; None when the stop does not wait for it, or not any more."""
    protection = trade.protection
    if protection is None or not trade.entry_complete:
        return None
    sign = trade.terms.direction.sign
    # The stop is past the entry: it has been moved already.
    if (protection.stop - trade.average_price) * sign >= 0:
        return None
    return trade.average_price + sign * trade.terms.plan.stop_distance * rules.break_even_after_r


def _break_even_due(held: Managed, bar: Candle, at: datetime) -> Due | None:
    """Once the gain reached 1 R, unless the stop is there already.

    The bar must also have closed beyond that place: a stop cannot be put where the market already is.
    """
    level = break_even_level(held.trade, held.rules)
    if level is None or not held.has_come_to(held.best(bar), level):
        return None
    stop = break_even_price(held.trade.average_price, held.direction, held.instrument)
    if (bar.close - stop) * held.sign <= 0:
        return None
    return Due(MoveStop(stop, "break-even", at), f"break-even/{held.trade.protections}")


# -- targets that cannot rest -------------------------------------------------------------------------


def _waiting_targets(held: Managed) -> Iterator[tuple[Leg, Decimal]]:
    protection, trade = held.trade.protection, held.trade
    if protection is None or not held.traits.reserves_quantity or not trade.entry_complete:
        return
    prices = (
        (Leg.FIRST_TARGET, protection.first_target),
        (Leg.SECOND_TARGET, protection.second_target),
    )
    for leg, price in prices:
        if price is not None and leg not in trade.reached:
            yield leg, price


def _targets_due(held: Managed, bar: Candle, at: datetime) -> Due | None:
    for leg, price in _waiting_targets(held):
        if held.has_come_to(held.best(bar), price):
            return Due(ReachTarget(leg, price, at), f"reached/{leg}")
    return None


# -- targets that move out ----------------------------------------------------------------------------


def _progress_levels(held: Managed) -> Iterator[tuple[Decimal, Decimal]]:
    """Price of the way and the first target from there on, furthest first; those that are still to come."""
    trade, protection = held.trade, held.trade.protection
    if not held.rules.progressive_targets or protection is None or protection.first_target is None:
        return
    if not trade.entry_complete or trade.remaining < trade.quantity or Leg.FIRST_TARGET in trade.reached:
        return
    way = trade.terms.plan.target_distance * held.sign
    for share, further in PROGRESS:
        target = round_target(trade.average_price + way * (1 + further), held.instrument, held.direction)
        if held.has_come_to(protection.first_target, target):
            return
        yield trade.average_price + way * share, target


def _progress_due(held: Managed, bar: Candle, at: datetime) -> Due | None:
    protection = held.trade.protection
    for level, first in _progress_levels(held):
        if protection is not None and held.has_come_to(held.best(bar), level):
            moved = first - (protection.first_target or first)
            second = None if protection.second_target is None else protection.second_target + moved
            return Due(MoveTargets(plain(first), second, "on its way", at), f"progress/{plain(first)}")
    return None


# -- trailing where the venue does not ----------------------------------------------------------------


def _trail_level(held: Managed) -> Decimal | None:
    """The price beyond which the stop follows; it is the rest behind both targets that trails."""
    protection, trade = held.trade.protection, held.trade
    if protection is None or held.traits.trailing is not Trailing.NONE or protection.trail_distance is None:
        return None
    start, reached = protection.trail_activation, {Leg.FIRST_TARGET, Leg.SECOND_TARGET}
    if start is None or not reached <= trade.reached:
        return None
    follows = protection.stop + protection.trail_distance * held.sign
    return max(start, follows) if held.sign > 0 else min(start, follows)


def _trail_due(held: Managed, bar: Candle, at: datetime) -> Due | None:
    protection, level = held.trade.protection, _trail_level(held)
    if protection is None or protection.trail_distance is None or level is None:
        return None
    best = held.best(bar)
    if not held.has_come_to(best, level):
        return None
    place = best - protection.trail_distance * held.sign
    stop = plain(round_stop(place, held.instrument, held.direction))
    if (stop - protection.stop) * held.sign <= 0:
        return None
    if (bar.close - stop) * held.sign <= 0:
        detail = f"came back from {best} by more than {protection.trail_distance}"
        return Due(OrderExit(ExitReason.TRAIL, detail, at), "trail/out")
    return Due(MoveStop(stop, "trailing", at), f"trail/{stop}")
