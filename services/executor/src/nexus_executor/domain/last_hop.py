"""The last caps before the venue, per account, where a bug upstream cannot lift them.

They are about entries only: what reduces a position is never counted and never held back, or a black swan
would throttle its own exits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from nexus_common.contracts.order import OrderIntentRecorded
from nexus_common.contracts.trade import (
    Found,
    TradeAbandoned,
    TradeAdmitted,
    TradeClosed,
    TradeEntered,
    TradeEvent,
    TradeReduced,
)
from nexus_common.contracts.values import ClientOrderId, Profile, TradeId
from nexus_executor.domain.ladder import Slot
from nexus_executor.domain.rules import ExecutionRules

_ZERO = Decimal(0)
_MINUTE = timedelta(minutes=1)
_FOUND = frozenset(each.value for each in Found)


@dataclass(frozen=True, slots=True)
class Exposure:
    """Quantity and the price it is valued at: the verdict's until the entry fills, the average after that."""

    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class LastHop:
    """An account's recent orders that may open something (oldest first), what it has at stake, and what it lost
    on a UTC day.

    An entry counts when it is admitted, so that those of one turn see each other; `awaited` are the orders by
    which they are to be sent. Any other order that may open something counts when it is wanted. A ladder has the
    most that it can hold at stake, whatever it holds.
    """

    entries: tuple[datetime, ...] = ()
    awaited: tuple[tuple[TradeId, ClientOrderId], ...] = ()
    exposures: tuple[tuple[TradeId, Exposure], ...] = ()
    day: date | None = None
    lost: Decimal = _ZERO

    @property
    def notional(self) -> Decimal:
        return sum((e.quantity * e.price for _, e in self.exposures), _ZERO)


def fold(state: LastHop, event: TradeEvent | OrderIntentRecorded, at: datetime) -> LastHop:
    """`at` is when the event occurred."""
    match event:
        case TradeAdmitted():
            stake = (event.trade_id, Exposure(event.quantity, event.price))
            staked = replace(state, exposures=(*state.exposures, stake))
            if event.approved_by in _FOUND or event.ladder is not None:
                return staked  # by hand: no order of ours; a ladder's count when they are wanted
            awaited = (*state.awaited, (event.trade_id, event.entry_order))
            return replace(_counted(staked, at), awaited=awaited)
        case OrderIntentRecorded():
            if not may_open(event):
                return state
            if is_awaited(state, event.client_order_id):
                return replace(
                    state, awaited=tuple(a for a in state.awaited if a[1] != event.client_order_id)
                )
            return _counted(state, at)
        case TradeEntered() if event.complete:
            return _set(state, event.trade_id, Exposure(event.quantity, event.average_price))
        case TradeReduced():
            held = dict(state.exposures).get(event.trade_id)
            return (
                state if held is None else _set(state, event.trade_id, replace(held, quantity=event.quantity))
            )
        case TradeClosed():
            closed = _drop(state, event.trade_id)
            day = at.date()
            before = closed.lost if closed.day == day else _ZERO
            return replace(closed, day=day, lost=before - event.net_profit)
        case TradeAbandoned():
            return _drop(state, event.trade_id)
        case _:
            return state


def _counted(state: LastHop, at: datetime) -> LastHop:
    recent = tuple(entry for entry in state.entries if at - entry < _MINUTE)
    return replace(state, entries=(*recent, at))


def may_open(order: OrderIntentRecorded) -> bool:
    """Whether it can open something; a ladder's take-profit closes what its rung has opened."""
    if order.rung is not None:
        return Slot(order.rung, order.side).opens
    return not (order.reduce_only or order.close_position)


def is_awaited(state: LastHop, order: ClientOrderId) -> bool:
    """Whether an order is the one by which an admitted entry is to be sent."""
    return any(each == order for _, each in state.awaited)


def _set(state: LastHop, trade: TradeId, exposure: Exposure) -> LastHop:
    return replace(state, exposures=tuple((t, exposure if t == trade else e) for t, e in state.exposures))


def _drop(state: LastHop, trade: TradeId) -> LastHop:
    return replace(
        state,
        exposures=tuple((t, e) for t, e in state.exposures if t != trade),
        awaited=tuple(a for a in state.awaited if a[0] != trade),
    )


def too_many(state: LastHop, rules: ExecutionRules, at: datetime, wanted: int = 0) -> str | None:
    """Why another order that may open something must not leave now; `wanted` are about to, and not recorded yet."""
    recent = wanted + sum(1 for entry in state.entries if at - entry < _MINUTE)
    if recent < rules.entries_per_minute_max:
        return None
    return f"last hop: {recent} entries within a minute, at most {rules.entries_per_minute_max}"


def refusal(
    state: LastHop,
    *,
    quantity: Decimal,
    price: Decimal,
    equity: Decimal,
    profile: Profile,
    rules: ExecutionRules,
    at: datetime,
) -> str | None:
    """Why this entry must not leave; None when it is within the caps."""
    crowd = too_many(state, rules, at)
    if crowd is not None:
        return crowd
    limit = rules.gross_notional[profile] * rules.gross_notional_factor * equity
    notional = state.notional + quantity * price
    if notional > limit:
        return f"last hop: gross notional would be {notional:f}, at most {limit:f}"
    lost = state.lost if state.day == at.date() else _ZERO
    if lost >= rules.daily_loss_max * equity:
        return f"last hop: {lost:f} lost today, at most {rules.daily_loss_max * equity:f}"
    return None
