"""What a trade needs at the venue now: desired state against what its order streams say is there.

Pure and repeatable: asked again after a crash, in the middle of a turn or a minute later, it wants what is
still missing and nothing else. Order of wants: the way out, the stop, leftovers, targets.
"""

from __future__ import annotations

from collections.abc import Iterator

from nexus_common.contracts.order import Leg, OrderKind
from nexus_executor.domain.exits import is_dust, way_out
from nexus_executor.domain.ladder_orders import rungs
from nexus_executor.domain.order import OrderStatus
from nexus_executor.domain.situation import (
    Abandon,
    Action,
    Cancel,
    Placed,
    Situation,
    Submit,
    WriteOff,
)
from nexus_executor.domain.stops import stop
from nexus_executor.domain.submission import submit
from nexus_executor.domain.targets import targets
from nexus_executor.domain.trade_state import Phase

_ENTRIES_MAX = 3


def wanted(now: Situation) -> tuple[Action, ...]:
    """Everything that should be done for this trade at this moment; empty when it is as it should be."""
    phase = now.trade.phase
    if now.trade.ladder is not None and phase in (Phase.ADMITTED, Phase.OPEN):
        return tuple(rungs(now, now.trade.ladder))
    if phase is Phase.ADMITTED:
        return tuple(_entry(now))
    if phase is Phase.OPEN:
        return tuple(_open(now))
    if phase in (Phase.CLOSED, Phase.ABANDONED):
        return tuple(_leftovers(now, "position closed"))
    return ()


# -- the way in ---------------------------------------------------------------------------------------


def _entry(now: Situation) -> Iterator[Action]:
    entries = now.of(Leg.ENTRY)
    if entries:
        yield from _entry_over(now, entries[-1])
    elif now.trade.exit is not None:
        yield Abandon(f"left before it was sent: {now.trade.exit.detail}")
    else:
        yield _enter(now)


def _enter(now: Situation) -> Submit:
    terms = now.trade.terms
    return submit(
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
        case OrderStatus.ABSENT if _may_enter_again(now):
            yield _enter(now)
        case OrderStatus.ABSENT:
            yield Abandon(f"never reached the venue: {state.refusal}")
        case OrderStatus.CANCELED:
            yield Abandon("entry canceled")
        case OrderStatus.WORKING if _is_leaving(now) and not state.canceling:
            yield Cancel(entry.order, "no more of this entry")
        case _:
            return


def _may_enter_again(now: Situation) -> bool:
    """An entry that is proven not to have arrived, while the verdict on it is valid."""
    in_time = now.entry_until is not None and now.at <= now.entry_until
    return in_time and now.trade.exit is None and len(now.of(Leg.ENTRY)) < _ENTRIES_MAX


def _is_leaving(now: Situation) -> bool:
    trade = now.trade
    is_stopped = any(placed.state.triggered for placed in now.of(Leg.STOP))
    return trade.exit is not None or is_stopped or (trade.quantity > 0 and trade.remaining == 0)


def give_up(now: Situation) -> Iterator[Action]:
    """A position that its venue does not hold any more, and whose way out no fill tells: end it without a price."""
    trade = now.trade
    for entry in now.of(Leg.ENTRY)[-1:]:
        yield from _entry_over(now, entry)
    if trade.is_held and (trade.entry_complete or trade.ladder is not None):
        yield WriteOff(trade.remaining, "is gone at the venue, and no fill tells at what price")


# -- what is held -------------------------------------------------------------------------------------


def _open(now: Situation) -> Iterator[Action]:
    trade = now.trade
    if trade.is_held and trade.entry_complete and is_dust(now, trade.remaining):
        yield WriteOff(trade.remaining)
        return
    if trade.is_held:
        if trade.exit is not None:
            yield from way_out(now, trade.exit.detail)
        else:
            yield from stop(now)
    for entry in now.of(Leg.ENTRY)[-1:]:
        yield from _entry_over(now, entry)
    if trade.is_held and trade.exit is None and trade.entry_complete:
        yield from targets(now)


def _leftovers(now: Situation, reason: str) -> Iterator[Action]:
    """Orders that outlived their position: each of them could open another one if it were not reduce-only."""
    for placed in now.orders:
        if placed.state.status is OrderStatus.WORKING and not placed.state.canceling:
            yield Cancel(placed.order, reason)
