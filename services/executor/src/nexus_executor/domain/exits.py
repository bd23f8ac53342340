"""The way out of what is held: at the market, reduce-only, for as long as there is something to leave."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from nexus_common.contracts.order import Leg, OrderKind
from nexus_executor.domain.order import OrderStatus
from nexus_executor.domain.situation import Action, Amend, Cancel, Fail, Placed, Situation, Submit
from nexus_executor.domain.stops import stop
from nexus_executor.domain.submission import submit
from nexus_market.instruments import floor_quantity


def way_out(now: Situation, detail: str) -> Iterator[Action]:
    """`detail` is why it is left."""
    yield from _exit(now)
    if _is_bare(now):
        yield Fail(f"no stop, and no exit that the venue confirmed: {detail}")


def is_dust(now: Situation, quantity: Decimal) -> bool:
    """Whether no order of the venue can be so small."""
    return floor_quantity(quantity, now.instrument) < now.instrument.min_quantity


def _is_bare(now: Situation) -> bool:
    """Whether what is to be left has had neither a stop nor a confirmed way out for too long; said once."""
    limit = timedelta(seconds=now.rules.unprotected_max_seconds)
    is_overdue = now.bare_since is not None and now.at - now.bare_since > limit
    is_leaving = any(placed.is_confirmed for placed in now.of(Leg.EXIT))
    return is_overdue and not is_leaving and not now.trade.was_unprotected


def _exit(now: Situation) -> Iterator[Action]:
    if now.live(Leg.EXIT):
        return
    attempts = now.of(Leg.EXIT)
    # A refused or lost exit is sent again for as long as there is something to leave, once a moment.
    if attempts and attempts[-1].started_at >= now.at and attempts[-1].state.status is not OrderStatus.FILLED:
        if now.traits.reserves_quantity:
            yield from _cover_meanwhile(now)
        return
    if now.traits.reserves_quantity and (resting := _resting(now)):
        for placed in resting:
            if placed.is_confirmed and not placed.state.canceling:
                yield Cancel(placed.order, "the exit takes what is held")
        return
    quantity = floor_quantity(now.trade.remaining, now.instrument)
    if quantity > 0:
        yield submit(now, Leg.EXIT, OrderKind.MARKET, quantity)


def _resting(now: Situation) -> list[Placed]:
    """What holds a part of the position that the exit is for."""
    legs = (Leg.STOP, Leg.FIRST_TARGET, Leg.SECOND_TARGET)
    return [placed for leg in legs for placed in now.live(leg)]


def _cover_meanwhile(now: Situation) -> Iterator[Action]:
    """Its stop had to go for an exit that was refused: until it is sent again, a stop stands."""
    for action in stop(now):
        if isinstance(action, Submit | Amend | Cancel):
            yield action
