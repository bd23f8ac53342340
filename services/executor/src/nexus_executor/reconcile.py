"""What the venue holds against what our fills say: differences become facts, fills are never invented."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from nexus_common.contracts import ids
from nexus_common.contracts.account import ReportDrift
from nexus_common.contracts.order import RecordCanceled
from nexus_common.contracts.values import AccountId, ClientOrderId, Symbol
from nexus_common.runtime.ports import Desk
from nexus_executor.domain.account import ACCOUNT, AccountState
from nexus_executor.domain.order import ORDER, OrderState, OrderStatus
from nexus_executor.domain.trade import TRADE, TradeState
from nexus_executor.domain.view import View
from nexus_executor.fence import Fence
from nexus_executor.venues.broker import VenueDown, VenueOrder, VenuePosition

_ZERO = Decimal(0)


class Comparison(NamedTuple):
    """Signed quantities of one symbol."""

    symbol: Symbol
    expected: Decimal
    held: Decimal


def compare_positions(
    expected: Mapping[Symbol, Decimal], held: Iterable[VenuePosition], also: Iterable[Symbol] = ()
) -> tuple[Comparison, ...]:
    """Every symbol where the two differ, and those of `also` (reported before) whether they do or not."""
    at_venue = {position.symbol: position.quantity for position in held}
    watched = frozenset(also)
    return tuple(
        Comparison(symbol, expected.get(symbol, _ZERO), at_venue.get(symbol, _ZERO))
        for symbol in sorted({**expected, **at_venue, **dict.fromkeys(watched)})
        if symbol in watched or expected.get(symbol, _ZERO) != at_venue.get(symbol, _ZERO)
    )


def vanished_orders(
    working: Sequence[ClientOrderId], standing: Iterable[VenueOrder]
) -> tuple[ClientOrderId, ...]:
    """Orders that should stand at the venue and do not; a venue can drop a stop without a word."""
    there = frozenset(order.client_order_id for order in standing if order.client_order_id is not None)
    return tuple(order for order in working if order not in there)


async def reconcile(account: AccountId, at: datetime, view: View, fence: Fence, desk: Desk) -> bool:
    """Compare one account with its venue; to be called when all its updates are recorded.

    False when the venue does not answer. A second pass records nothing.
    """
    try:
        broker = await fence.broker(account)
        positions, standing = await broker.positions(), await broker.open_orders()
    except VenueDown:
        return False
    await _report_drifts(account, positions, at, view, desk)
    await _report_vanished(account, standing, at, view, desk)
    return True


async def _report_drifts(
    account: AccountId, positions: Sequence[VenuePosition], at: datetime, view: View, desk: Desk
) -> None:
    expected: dict[Symbol, Decimal] = {}
    for holding in view.held_by(account):
        trade: TradeState = await desk.state(TRADE, holding.trade)
        if trade.is_held:
            signed = trade.remaining * holding.direction.sign
            expected[holding.symbol] = expected.get(holding.symbol, _ZERO) + signed
    state: AccountState = await desk.state(ACCOUNT, account)
    for symbol, ours, theirs in compare_positions(expected, positions, state.drifts):
        await desk.handle(
            ACCOUNT,
            account,
            ReportDrift(account, symbol, ours, theirs, at),
            cause=ids.timer_id(f"reconcile/{account}/{symbol}", at),
            account=account,
        )


async def _report_vanished(
    account: AccountId, standing: Sequence[VenueOrder], at: datetime, view: View, desk: Desk
) -> None:
    for holding in [h for h in view.holdings.values() if h.account == account]:
        working: list[ClientOrderId] = []
        for order in holding.orders:
            state: OrderState = await desk.state(ORDER, order)
            if state.status is OrderStatus.WORKING and state.is_answered:
                working.append(order)
        for order in vanished_orders(working, standing):
            await desk.handle(
                ORDER,
                order,
                RecordCanceled("missing at the venue", at),
                cause=ids.timer_id(f"reconcile/{order}", at),
                correlation=holding.correlation,
                account=account,
            )
