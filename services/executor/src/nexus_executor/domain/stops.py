"""The stop of a held position: where it should stand, and by which steps it gets there.

Promise: what is held is covered at the venue within seconds, or it is left. A stop is therefore never taken
away before its successor stands, except where the venue lets only one of them have the position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from nexus_common.contracts.order import Leg, OrderKind
from nexus_executor.domain.order import Move, OrderStatus
from nexus_executor.domain.refusals import is_beyond
from nexus_executor.domain.situation import Action, Amend, Cancel, Fail, Leave, Placed, Situation, Submit
from nexus_executor.domain.submission import submit
from nexus_executor.domain.targets import promised
from nexus_market.instruments import floor_quantity

REPLACED = "replaced"
_KINDS = 2
_ATTEMPTS_MAX = 3


def stop(now: Situation) -> Iterator[Action]:
    """What the stop needs now; nothing when one covers the position at its price."""
    protection = now.trade.protection
    if protection is None:
        yield Fail("a position without a plan")
        return
    standing = now.standing(Leg.STOP)
    quantity = floor_quantity(now.trade.remaining - promised(now), now.instrument)
    if quantity <= 0:
        yield from _clear_away(standing, "the target takes what is left")
    elif not standing:
        yield from _missing(now, protection.stop, quantity)
    else:
        newest = standing[-1]
        if newest.is_confirmed:
            yield from _clear_away(standing[:-1], REPLACED)
        yield from _at_its_place(now, newest, Move(protection.stop, quantity))


def is_covered_by(quantity: Decimal, placed: Placed) -> bool:
    """Whether this stop is for exactly that quantity, or for whatever is held."""
    intent = placed.state.intent
    return intent is not None and (intent.close_position or placed.state.quantity == quantity)


def _clear_away(orders: Sequence[Placed], reason: str) -> Iterator[Action]:
    for placed in orders:
        if placed.is_confirmed and not placed.state.canceling:
            yield Cancel(placed.order, reason)


# -- none stands --------------------------------------------------------------------------------------


def _missing(now: Situation, price: Decimal, quantity: Decimal) -> Iterator[Action]:
    failures = [each for each in now.failures(Leg.STOP) if _is_since(now, each)]
    last = failures[-1].state if failures else None
    refused = [placed for placed in failures if placed.state.status is OrderStatus.REFUSED]
    if last is not None and is_beyond(last.code, last.refusal):
        yield Leave(f"the market is beyond the stop at {price}: {last.refusal}")
    elif len(refused) >= _KINDS:
        yield Fail(f"the venue refuses the stop at {price}: {refused[-1].state.refusal}")
    elif failures and _is_overdue(now, failures[0]):
        yield Fail(f"no confirmed stop within {now.rules.unprotected_max_seconds} s")
    elif len(failures) >= _KINDS:
        return  # Nobody knows of them yet; their outcomes are asked for.
    elif _placed_now(now) >= _ATTEMPTS_MAX:
        yield Fail(f"the venue takes the stop at {price} off the book again and again")
    else:
        yield _new(now, price, quantity, whole=not failures or not _is_whole(failures[-1]))


def _is_since(now: Situation, placed: Placed) -> bool:
    """Whether it was placed for this lack of a stop; an older one was to move a stop that stood then."""
    return now.bare_since is None or placed.started_at >= now.bare_since


def _is_overdue(now: Situation, placed: Placed) -> bool:
    return now.at - placed.started_at > timedelta(seconds=now.rules.unprotected_max_seconds)


def _placed_now(now: Situation) -> int:
    return sum(placed.started_at >= now.at for placed in now.of(Leg.STOP))


def _is_whole(placed: Placed) -> bool:
    return placed.state.intent is not None and placed.state.intent.close_position


def _new(now: Situation, price: Decimal, quantity: Decimal, *, whole: bool) -> Submit:
    """For the whole position where the venue has that; the alternative kind is reduce-only with a quantity."""
    close_position = whole and now.traits.close_position_stop
    return submit(
        now,
        Leg.STOP,
        OrderKind.STOP,
        quantity,
        trigger_price=price,
        reduce_only=not close_position,
        close_position=close_position,
    )


# -- one stands ---------------------------------------------------------------------------------------


def _at_its_place(now: Situation, placed: Placed, to: Move) -> Iterator[Action]:
    state = placed.state
    if state.triggered:
        yield from _reached(placed, to)
    if not placed.is_confirmed or state.triggered or state.amending is not None:
        return
    covers = to.quantity is not None and is_covered_by(to.quantity, placed)
    if covers and state.trigger_price == to.trigger_price:
        return
    if now.traits.amend_stop:
        move = Move(to.trigger_price, None if covers else to.quantity)
        if state.refused_move != move:
            if not state.canceling:
                yield Amend(placed.order, move.trigger_price, state.revision + 1, move.quantity)
            return
        if is_beyond(state.move_code, state.move_refusal):
            yield Leave(f"the market is beyond {to.trigger_price}: {state.move_refusal}")
            return
    yield from _replace(now, placed, to, covers=covers)


def _reached(placed: Placed, to: Move) -> Iterator[Action]:
    """A stop that is being filled; what came to the position since it was placed leaves with it."""
    whole = placed.state.intent is not None and placed.state.intent.close_position
    if not whole and to.quantity is not None and placed.unfilled < to.quantity:
        yield Leave(f"the stop was reached; it covers {placed.unfilled} of {to.quantity}")


def _replace(now: Situation, placed: Placed, to: Move, *, covers: bool) -> Iterator[Action]:
    """Put a successor beside it; the old one goes when that stands."""
    if now.traits.reserves_quantity:
        # The venue gives what is held to one of them only, and this one would not be moved.
        yield from _clear_away([placed], REPLACED)
        return
    attempts = now.of(Leg.STOP)
    failed = attempts[attempts.index(placed) + 1 :]
    same = [each for each in failed if each.state.trigger_price == to.trigger_price]
    last = same[-1].state if same else None
    # The other kind where two of one kind cannot stand, or where the same kind has just been refused.
    whole = _is_whole(placed) is not (now.traits.one_position_stop or bool(same))
    if last is not None and is_beyond(last.code, last.refusal):
        yield Leave(f"the market is beyond {to.trigger_price}: {last.refusal}")
    elif last is not None and last.status is OrderStatus.UNKNOWN:
        return
    elif len(same) >= _KINDS or (same and covers):
        if not covers:
            yield Fail(f"the stop covers {placed.state.quantity} of {to.quantity} and cannot be replaced")
        # Else the old one stays: it protects all the same.
    elif whole and now.traits.one_position_stop and any(map(_is_whole, now.standing(Leg.STOP))):
        return  # The one before is on its way off the book; a second of its kind would be refused.
    elif to.quantity is not None:
        yield _new(now, to.trigger_price, to.quantity, whole=whole)
