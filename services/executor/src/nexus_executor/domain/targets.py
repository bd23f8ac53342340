"""The parts of a position that are taken at a profit: two targets, and the rest that trails.

Where a venue lets orders rest beside the stop they rest there. Where it gives what is held to one order only
(`reserves_quantity`), a target that was reached is a fact of the trade; the stop is made smaller first, then
the part is sold at the market.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

from nexus_common.contracts.order import Leg, OrderKind, Outcome
from nexus_common.contracts.trade import ProtectionSet
from nexus_executor.domain.figures import plain, split
from nexus_executor.domain.order import OrderStatus
from nexus_executor.domain.situation import Action, Cancel, Placed, Situation
from nexus_executor.domain.submission import submit
from nexus_executor.domain.traits import Trailing

REPLACED = "replaced"
_ZERO = Decimal(0)
_ATTEMPTS_MAX = 3
_KINDS = 2
# Binance USDT-M, New Algo Order: callbackRate from 0.1 % to 10 % in steps of 0.1 %.
_RATE_STEP, _RATE_MIN, _RATE_MAX = Decimal("0.001"), Decimal("0.001"), Decimal("0.1")


def targets(now: Situation) -> Iterator[Action]:
    """What the targets and the trailing part need now."""
    protection = now.trade.protection
    if protection is None:
        return
    if now.traits.reserves_quantity:
        yield from _take(now)
        return
    parts = _parts(now, protection)
    for leg, part in parts.items():
        yield from _target(now, leg, part, _price(protection, leg))
    if protection.second_target is not None:
        yield from _trail(now, protection, now.trade.quantity - sum(parts.values()))


def _parts(now: Situation, protection: ProtectionSet) -> dict[Leg, Decimal]:
    """The quantity of each target; without a second one the first takes all."""
    trade = now.trade
    if protection.second_target is None:
        return {Leg.FIRST_TARGET: trade.quantity}
    parts = split(trade.quantity, trade.average_price, now.instrument, now.rules.targets)
    return {Leg.FIRST_TARGET: parts.first, Leg.SECOND_TARGET: parts.second}


def _price(protection: ProtectionSet, leg: Leg) -> Decimal | None:
    return protection.first_target if leg is Leg.FIRST_TARGET else protection.second_target


# -- resting ------------------------------------------------------------------------------------------


def _target(now: Situation, leg: Leg, part: Decimal, price: Decimal | None) -> Iterator[Action]:
    quantity = min(part - now.filled(leg), now.trade.remaining)
    if price is None or quantity <= 0:
        return
    for placed in now.standing(leg):
        moved = _level(placed) != price or placed.unfilled < quantity
        if moved and placed.is_confirmed and not placed.state.canceling and not placed.state.triggered:
            yield Cancel(placed.order, REPLACED)
    if not _is_missing(now, leg):
        return
    if any(placed.state.answer is Outcome.REFUSED for placed in now.of(leg)):
        yield submit(now, leg, OrderKind.LIMIT, quantity, limit_price=price)
    else:
        yield submit(now, leg, OrderKind.TAKE_PROFIT, quantity, trigger_price=price)


def _level(placed: Placed) -> Decimal | None:
    intent = placed.state.intent
    return None if intent is None else intent.limit_price or placed.state.trigger_price


def _is_missing(now: Situation, leg: Leg) -> bool:
    """Whether a leg should be placed: never yet, or taken off the book, or refused in its first kind."""
    attempts = now.of(leg)
    if not attempts:
        return True
    last = attempts[-1].state
    match last.status:
        case OrderStatus.CANCELED:
            return last.canceling or len(attempts) < _ATTEMPTS_MAX
        case OrderStatus.REFUSED:
            return leg is not Leg.TRAIL and len(attempts) < _KINDS
        case OrderStatus.ABSENT:
            return len(attempts) < _ATTEMPTS_MAX
        case OrderStatus.FILLED:
            # All of that order, which was for less than the part: the position has grown since.
            return leg is not Leg.TRAIL
        case _:
            return False


# -- trailing -----------------------------------------------------------------------------------------


def _trail(now: Situation, protection: ProtectionSet, part: Decimal) -> Iterator[Action]:
    traits, distance = now.traits, protection.trail_distance
    whole = traits.trails_position
    if distance is None or traits.trailing is Trailing.NONE or (whole and not _only_the_rest_is_left(now)):
        return
    start = protection.trail_activation
    rate = trail_rate(distance, start or now.trade.average_price)
    by_rate = traits.trailing is Trailing.RATE
    for placed in now.standing(Leg.TRAIL):
        intent, state = placed.state.intent, placed.state
        closer = intent is not None and (
            intent.trail_rate != rate if by_rate else intent.trail_distance != distance
        )
        if closer and placed.is_confirmed and not state.canceling and not state.triggered:
            yield Cancel(placed.order, REPLACED)
    if not _is_missing(now, Leg.TRAIL):
        return
    yield submit(
        now,
        Leg.TRAIL,
        OrderKind.TRAILING_STOP,
        now.trade.remaining if whole else min(part, now.trade.remaining),
        # Both targets lie beyond the start as a rule; a venue refuses one that the price has passed.
        trigger_price=None if whole and _is_past(now, protection) else start,
        trail_distance=None if by_rate else distance,
        trail_rate=rate if by_rate else None,
        reduce_only=not whole,
        close_position=whole,
    )


def _only_the_rest_is_left(now: Situation) -> bool:
    return all(
        any(placed.state.status is OrderStatus.FILLED for placed in now.of(leg))
        for leg in (Leg.FIRST_TARGET, Leg.SECOND_TARGET)
    )


def _is_past(now: Situation, protection: ProtectionSet) -> bool:
    start, reached = protection.trail_activation, protection.second_target
    return start is None or (reached is not None and (reached - start) * now.trade.terms.direction.sign >= 0)


def trail_rate(distance: Decimal, price: Decimal) -> Decimal:
    """A distance as the fraction of the price that a venue takes, to the nearest step it has."""
    rate = (distance / price).quantize(_RATE_STEP, ROUND_HALF_UP)
    return plain(min(max(rate, _RATE_MIN), _RATE_MAX))


# -- taken at the market ------------------------------------------------------------------------------


def promised(now: Situation) -> Decimal:
    """What reached targets are about to take of the position: the stop leaves that to them."""
    return sum((quantity for _, quantity in _reached(now)), _ZERO)


def _reached(now: Situation) -> Iterator[tuple[Leg, Decimal]]:
    protection, trade = now.trade.protection, now.trade
    if protection is None or not now.traits.reserves_quantity:
        return
    left = trade.remaining
    for leg, part in _parts(now, protection).items():
        quantity = min(part - now.filled(leg), left)
        if leg in trade.reached and quantity > 0 and not _is_given_up(now, leg):
            left -= quantity
            yield leg, quantity


def _is_given_up(now: Situation, leg: Leg) -> bool:
    """For this moment, when its last attempt came to nothing just now; for good after some of them."""
    attempts = now.of(leg)
    if not attempts or now.live(leg):
        return False
    last = attempts[-1]
    just_now = last.started_at >= now.at and last.state.status is not OrderStatus.FILLED
    return just_now or len(now.failures(leg)) >= _ATTEMPTS_MAX


def _take(now: Situation) -> Iterator[Action]:
    wanted = [(leg, quantity) for leg, quantity in _reached(now) if not now.live(leg)]
    kept = sum((placed.unfilled for placed in now.standing(Leg.STOP)), _ZERO)
    under_way = sum((placed.unfilled for leg in Leg for placed in _at_market(now, leg)), _ZERO)
    free = now.trade.remaining - kept - under_way
    moving = any(placed.state.amending is not None for placed in now.standing(Leg.STOP))
    for leg, quantity in wanted:
        if quantity <= free and not moving:
            free -= quantity
            yield submit(now, leg, OrderKind.MARKET, quantity)


def _at_market(now: Situation, leg: Leg) -> list[Placed]:
    return [
        placed
        for placed in now.live(leg)
        if placed.state.intent is not None
        and placed.state.intent.kind is OrderKind.MARKET
        and leg is not Leg.ENTRY
    ]
