"""An order of a trade, named after its trade, leg and attempt."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.order import Leg, OrderIntentRecorded, OrderKind
from nexus_common.contracts.values import Side
from nexus_executor.domain.figures import plain
from nexus_executor.domain.situation import Situation, Submit


def submit(
    now: Situation,
    leg: Leg,
    kind: OrderKind,
    quantity: Decimal,
    *,
    side: Side | None = None,
    limit_price: Decimal | None = None,
    trigger_price: Decimal | None = None,
    trail_distance: Decimal | None = None,
    trail_rate: Decimal | None = None,
    reduce_only: bool = True,
    close_position: bool = False,
    leverage: int | None = None,
    rung: int | None = None,
    attempt: int | None = None,
) -> Submit:
    """The next attempt of a leg; it leaves the position unless told otherwise."""
    terms = now.trade.terms
    side = side or now.trade.direction.exit_side
    attempt = attempt or now.attempts(leg) + 1
    intent = OrderIntentRecorded(
        client_order_id=ids.client_order_id(UUID(terms.trade_id), name_of(leg, side, rung), attempt),
        trade_id=terms.trade_id,
        account=terms.account,
        venue=terms.venue,
        symbol=terms.symbol,
        leg=leg,
        side=side,
        kind=kind,
        quantity=plain(quantity),
        limit_price=limit_price,
        trigger_price=trigger_price,
        trail_distance=trail_distance,
        trail_rate=trail_rate,
        reduce_only=reduce_only,
        close_position=close_position,
        leverage=leverage,
        rung=rung,
    )
    return Submit(intent, attempt)


def name_of(leg: Leg, side: Side, rung: int | None) -> str:
    """What attempts are counted by: a ladder's orders by where they stand and on which side, `ladder-3/buy`."""
    return leg.value if rung is None else f"{leg}{rung:+d}/{side}"
