"""What a trade needs at the venue now: desired state against what its order streams say is there.

Pure and repeatable: asked again after a crash, in the middle of a turn or a minute later, it wants what is
still missing and nothing else. Order of wants: the way out, the stop, leftovers, targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.order import Leg, OrderIntentRecorded, OrderKind, Outcome
from nexus_common.contracts.values import Side
from nexus_executor.domain.figures import plain, split
from nexus_executor.domain.order import OrderStatus
from nexus_executor.domain.situation import (
    Abandon,
    Action,
    Amend,
    Cancel,
    Fail,
    Leave,
    Placed,
    Situation,
    Submit,
)
from nexus_executor.domain.trade_state import Phase
from nexus_executor.domain.traits import Trailing

REPLACED = "replaced"
_ATTEMPTS_MAX = 3
_STOP_KINDS = 2


def wanted(now: Situation) -> tuple[Action, ...]:
    """Everything that should be done for this trade at this moment; empty when it is as it should be."""
    phase = now.trade.phase
    if phase is Phase.ADMITTED:
        return tuple(_entry(now))
    if phase is Phase.OPEN:
        return tuple(_open(now))
    if phase in (Phase.CLOSED, Phase.ABANDONED):
        return tuple(_leftovers(now, "position closed"))
    return ()


def _entry(now: Situation) -> Iterator[Action]:
    entries = now.of(Leg.ENTRY)
    if entries:
        yield from _entry_over(now, entries[-1])
    elif now.trade.exit is not None:
        yield Abandon(f"left before it was sent: {now.trade.exit.detail}")
    else:
        terms = now.trade.terms
        yield _submit(
            now,
            Leg.ENTRY,
            OrderKind.MARKET,
            terms.quantity,
            side=terms.direction.entry_side,
            reduce_only=False,
            leverage=terms.leverage,
        )


def _entry_over(now: Situation, entry: Placed) -> Iterator[Action]:
    """Give up the rest of an entry that the venue ended, or end it when the trade is to be left."""
    state = entry.state
    if now.trade.entry_complete:
        return
    match state.status:
        case OrderStatus.REFUSED:
            yield Abandon(f"refused by the venue: {state.refusal}")
        case OrderStatus.ABSENT:
            yield Abandon(f"never reached the venue: {state.refusal}")
        case OrderStatus.CANCELED:
            yield Abandon("entry canceled")
        case OrderStatus.WORKING if _is_leaving(now) and not state.canceling:
            yield Cancel(entry.order, "no more of this entry")
        case _:
            return


def _is_leaving(now: Situation) -> bool:
    trade = now.trade
    return trade.exit is not None or (trade.quantity > 0 and trade.remaining == 0)


def _open(now: Situation) -> Iterator[Action]:
    trade = now.trade
    if trade.is_held:
        if trade.exit is not None:
            yield from _exit(now)
        else:
            yield from _stop(now)
    for entry in now.of(Leg.ENTRY)[-1:]:
        yield from _entry_over(now, entry)
    if trade.is_held and trade.exit is None and trade.entry_complete:
        yield from _targets(now)


def _exit(now: Situation) -> Iterator[Action]:
    if now.live(Leg.EXIT):
        return
    attempts = now.of(Leg.EXIT)
    # A refused or lost exit is sent again for as long as there is something to leave, once a moment.
    if attempts and attempts[-1].started_at >= now.at and attempts[-1].state.status is not OrderStatus.FILLED:
        return
    yield _submit(now, Leg.EXIT, OrderKind.MARKET, now.trade.remaining)


def _stop(now: Situation) -> Iterator[Action]:
    protection = now.trade.protection
    if protection is None:
        yield Fail("a position without a plan")
        return
    live = now.live(Leg.STOP)
    refused = [stop for stop in now.of(Leg.STOP) if stop.state.answer is Outcome.REFUSED]
    if not live:
        if len(refused) >= _STOP_KINDS:
            yield Fail(f"the venue refuses the stop at {protection.stop}: {refused[-1].state.refusal}")
        else:
            yield _new_stop(now, whole=not refused)
        return
    newest = live[-1]
    if newest.state.answer is Outcome.ACCEPTED:
        for older in live[:-1]:
            if not older.state.canceling and older.state.status is OrderStatus.WORKING:
                yield Cancel(older.order, REPLACED)
    yield from _stop_at_its_place(now, newest, refused)


def _stop_at_its_place(now: Situation, stop: Placed, refused: Sequence[Placed]) -> Iterator[Action]:
    state, intent = stop.state, stop.state.intent
    if (
        state.status is not OrderStatus.WORKING
        or state.triggered
        or state.amending is not None
        or intent is None
    ):
        return
    desired = now.trade.protection.stop if now.trade.protection else state.trigger_price
    covers = intent.close_position or intent.quantity == now.trade.remaining
    if covers and (desired is None or state.trigger_price == desired):
        return
    if covers and desired is not None and now.traits.amend_stop and state.refused_trigger != desired:
        yield Amend(stop.order, desired, state.revision + 1)
        return
    if not any(r.state.trigger_price == desired and _quantity(r) == now.trade.remaining for r in refused):
        yield _new_stop(now, whole=intent.close_position)
    elif covers:
        yield Leave(f"the venue refuses to move the stop to {desired}: {refused[-1].state.refusal}")
    else:
        yield Fail(f"the stop covers {intent.quantity} of {now.trade.remaining} and cannot be replaced")


def _quantity(placed: Placed) -> Decimal:
    return placed.state.intent.quantity if placed.state.intent else Decimal(0)


def _new_stop(now: Situation, *, whole: bool) -> Submit:
    """For the whole position where the venue has that; the alternative kind is reduce-only with a quantity."""
    close_position = whole and now.traits.close_position_stop
    return _submit(
        now,
        Leg.STOP,
        OrderKind.STOP,
        now.trade.remaining,
        trigger_price=now.trade.protection.stop if now.trade.protection else None,
        reduce_only=not close_position,
        close_position=close_position,
    )


def _targets(now: Situation) -> Iterator[Action]:
    trade, protection = now.trade, now.trade.protection
    if protection is None:
        return
    parts = split(trade.quantity, trade.average_price, now.instrument, now.rules.targets)
    has_three_legs = protection.second_target is not None
    first = parts.first if has_three_legs else trade.quantity
    yield from _target(now, Leg.FIRST_TARGET, first, protection.first_target)
    if has_three_legs:
        yield from _target(now, Leg.SECOND_TARGET, parts.second, protection.second_target)
        yield from _trail(now, parts.trail)


def _target(now: Situation, leg: Leg, quantity: Decimal, price: Decimal | None) -> Iterator[Action]:
    if price is None or not _is_missing(now, leg):
        return
    quantity = min(quantity, now.trade.remaining)
    if any(placed.state.answer is Outcome.REFUSED for placed in now.of(leg)):
        yield _submit(now, leg, OrderKind.LIMIT, quantity, limit_price=price)
    else:
        yield _submit(now, leg, OrderKind.TAKE_PROFIT, quantity, trigger_price=price)


def _trail(now: Situation, quantity: Decimal) -> Iterator[Action]:
    protection = now.trade.protection
    if protection is None or now.traits.trailing is Trailing.NONE:
        return
    for placed in now.live(Leg.TRAIL):
        intent, state = placed.state.intent, placed.state
        closer = intent is not None and intent.trail_distance != protection.trail_distance
        if closer and state.status is OrderStatus.WORKING and not state.canceling and not state.triggered:
            yield Cancel(placed.order, REPLACED)
    if _is_missing(now, Leg.TRAIL):
        yield _submit(
            now,
            Leg.TRAIL,
            OrderKind.TRAILING_STOP,
            min(quantity, now.trade.remaining),
            trigger_price=protection.trail_activation,
            trail_distance=protection.trail_distance,
        )


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
            return leg is not Leg.TRAIL and len(attempts) < _STOP_KINDS
        case OrderStatus.ABSENT:
            return len(attempts) < _ATTEMPTS_MAX
        case _:
            return False


def _leftovers(now: Situation, reason: str) -> Iterator[Action]:
    """Orders that outlived their position: each of them could open another one if it were not reduce-only."""
    for placed in now.orders:
        if placed.state.status is OrderStatus.WORKING and not placed.state.canceling:
            yield Cancel(placed.order, reason)


def _submit(
    now: Situation,
    leg: Leg,
    kind: OrderKind,
    quantity: Decimal,
    *,
    side: Side | None = None,
    limit_price: Decimal | None = None,
    trigger_price: Decimal | None = None,
    trail_distance: Decimal | None = None,
    reduce_only: bool = True,
    close_position: bool = False,
    leverage: int | None = None,
) -> Submit:
    terms = now.trade.terms
    attempt = len(now.of(leg)) + 1
    intent = OrderIntentRecorded(
        client_order_id=ids.client_order_id(UUID(terms.trade_id), leg, attempt),
        trade_id=terms.trade_id,
        account=terms.account,
        venue=terms.venue,
        symbol=terms.symbol,
        leg=leg,
        side=side or terms.direction.exit_side,
        kind=kind,
        quantity=plain(quantity),
        limit_price=limit_price,
        trigger_price=trigger_price,
        trail_distance=trail_distance,
        reduce_only=reduce_only,
        close_position=close_position,
        leverage=leverage,
    )
    return Submit(intent, attempt)
