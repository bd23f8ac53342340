"""What a ladder needs at its venue now: a stop for what it holds and its rungs, or, being left, nothing at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import Final

from nexus_common.contracts.order import Leg, OrderKind
from nexus_executor.domain.exits import is_dust, way_out
from nexus_executor.domain.ladder import LadderState, Resting, Slot, resting
from nexus_executor.domain.order import OrderStatus
from nexus_executor.domain.situation import Abandon, Action, Cancel, Placed, Situation, Submit, WriteOff
from nexus_executor.domain.stops import stop
from nexus_executor.domain.submission import submit
from nexus_market.instruments import refusal

ATTEMPTS_MAX: Final = 3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO = Decimal(0)


def rungs(now: Situation, ladder: LadderState) -> Iterator[Action]:
    """Everything that should be done for this ladder at this moment; empty when it is as it should be."""
    yield from _stops_of_the_other_side(now)
    if now.trade.exit is not None or _is_stopping(now):
        yield from _leaving(now)
        return
    if now.trade.is_held:
        yield from stop(now)
    yield from _resting(now, ladder)


def off_the_book(now: Situation, reason: str) -> Iterator[Action]:
    """None of its orders may fill any more."""
    for placed in now.of(Leg.LADDER):
        if placed.is_confirmed and not placed.state.canceling:
            yield Cancel(placed.order, reason)


def slot_of(placed: Placed) -> Slot | None:
    intent = placed.state.intent
    return None if intent is None or intent.rung is None else Slot(intent.rung, intent.side)


def _stops_of_the_other_side(now: Situation) -> Iterator[Action]:
    """The position was turned round, or nothing is held: what protected it before has nothing to do any more.

    A stop that belongs to the position at the venue went with it, and taking it off would take off its successor.
    """
    covering = now.of(Leg.STOP) if now.trade.is_held else ()
    for placed in now.orders:
        intent = placed.state.intent
        went_along = now.traits.trails_position and intent is not None and intent.close_position
        is_stray = (
            placed.leg is Leg.STOP and placed not in covering and not (went_along and now.trade.is_held)
        )
        if is_stray and placed.is_confirmed and not placed.state.canceling:
            yield Cancel(placed.order, "nothing is held on its side")


def _is_stopping(now: Situation) -> bool:
    """Whether the stop was reached and is being filled."""
    return any(placed.state.triggered and placed.stands for placed in now.of(Leg.STOP))


# -- being left ---------------------------------------------------------------------------------------


def _leaving(now: Situation) -> Iterator[Action]:
    """All rungs off the book and what is held to the market, at once; the end when both have come about."""
    trade = now.trade
    yield from off_the_book(now, "the ladder is left")
    if trade.exit is None or (trade.is_held and _is_stopping(now)):
        return
    if trade.is_held and is_dust(now, trade.remaining):
        yield WriteOff(trade.remaining)
    elif trade.is_held:
        yield from way_out(now, trade.exit.detail)
    elif all(placed.state.status.has_ended for placed in now.of(Leg.LADDER)):
        yield Abandon(trade.exit.detail)


# -- resting ------------------------------------------------------------------------------------------


def _resting(now: Situation, ladder: LadderState) -> Iterator[Action]:
    placed: dict[Slot | None, list[Placed]] = {}
    for each in now.of(Leg.LADDER):
        placed.setdefault(slot_of(each), []).append(each)
    wanted = resting(ladder)
    for slot, attempts in placed.items():
        rest = None if slot is None else wanted.get(slot)
        yield from _beyond(attempts, _ZERO if rest is None else rest.quantity)
    for slot, rest in wanted.items():
        attempts = placed.get(slot, [])
        missing = rest.quantity - _standing(attempts)
        if missing > 0 and refusal(now.instrument, missing, rest.price) is None and _may_try(now, attempts):
            yield _place(now, slot, rest._replace(quantity=missing), attempts)
    refused = [_failures(placed.get(slot, [])) for slot in wanted]
    if not ladder.turnover and all(len(each) >= ATTEMPTS_MAX for each in refused):
        yield Abandon(f"the venue takes no rung: {refused[0][0].state.refusal}")


def _beyond(attempts: Sequence[Placed], quantity: Decimal) -> Iterator[Cancel]:
    """Off the book with what would fill a rung twice: an order that was thought gone has filled after all."""
    staying = [each for each in attempts if not each.state.canceling]
    left = _standing(staying) - quantity
    for each in reversed(staying):
        if each.is_confirmed and each.unfilled <= left:
            left -= each.unfilled
            yield Cancel(each.order, "its rung is filled")


def _standing(attempts: Sequence[Placed]) -> Decimal:
    """What rests, may rest, or is on its way there: one that nobody knows of is waited for, or there were two."""
    return sum((each.unfilled for each in attempts if not each.state.status.has_ended), _ZERO)


def _failures(attempts: Sequence[Placed]) -> list[Placed]:
    """The last attempts that never rested, or were taken off the book without our asking; newest first."""
    return list(takewhile(_has_failed, reversed(attempts)))


def _has_failed(placed: Placed) -> bool:
    gone = (OrderStatus.REFUSED, OrderStatus.ABSENT, OrderStatus.CANCELED)
    return placed.state.status in gone and not placed.state.canceling


def _may_try(now: Situation, attempts: Sequence[Placed]) -> bool:
    """Once a moment, and a few times a bar of the ladder's timeframe."""
    failed = _failures(attempts)
    if not failed:
        return True
    since = now.at - (now.at - _EPOCH) % timedelta(seconds=now.trade.terms.timeframe.seconds)
    this_bar = [each for each in failed if each.started_at >= since]
    return failed[0].started_at < now.at and len(this_bar) < ATTEMPTS_MAX


def _place(now: Situation, slot: Slot, rest: Resting, attempts: Sequence[Placed]) -> Submit:
    return submit(
        now,
        Leg.LADDER,
        OrderKind.LIMIT,
        rest.quantity,
        side=slot.side,
        limit_price=rest.price,
        reduce_only=False,
        leverage=now.trade.terms.leverage if slot.opens else None,
        rung=slot.level,
        attempt=len(attempts) + 1,
    )
