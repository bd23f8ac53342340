"""What became of an order, asked of the venue: found, rejected, not there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import ClientOrderId
from nexus_executor.venues.broker import Absent, Accepted, LookupReply, OrderRequest, Refused, VenueDown
from nexus_executor.venues.bybit import messages
from nexus_executor.venues.bybit.messages import CATEGORY, spelled
from nexus_executor.venues.bybit.orders import is_attached
from nexus_executor.venues.bybit.reading import Row, optional_number, text_of, whole_of
from nexus_executor.venues.bybit.rest import Rest
from nexus_executor.venues.private_stream import UnreadableFrame

_STOP_TYPES: Final = {OrderKind.STOP: "StopLoss", OrderKind.TRAILING_STOP: "TrailingStop"}
_LEVELS: Final = {OrderKind.STOP: "stopLoss", OrderKind.TRAILING_STOP: "trailingStop"}
_FIRED: Final = frozenset(("Triggered", "New", "PartiallyFilled", "Filled"))
# A stop whose sending this process does not remember must have gone off lately to be taken for ours.
_LATELY: Final = timedelta(minutes=10)


@dataclass(slots=True)
class _Attached:
    at: datetime
    level: Decimal | None


class Lookup:
    """Asks for orders by their id; for the position's own stop by what stands at the position."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._sent: dict[ClientOrderId, _Attached] = {}

    def remember(self, order: OrderRequest, at: datetime) -> None:
        self._sent[order.client_order_id] = _Attached(at, level_of(order))

    def moved(self, order: OrderRequest, trigger_price: Decimal) -> None:
        sent = self._sent.get(order.client_order_id)
        if sent is not None and order.kind is OrderKind.STOP:
            sent.level = trigger_price

    async def find(self, order: OrderRequest) -> LookupReply:
        """Raises VenueDown."""
        try:
            return await (self._find_attached(order) if is_attached(order) else self._find_by_id(order))
        except UnreadableFrame as error:
            raise VenueDown(f"Bybit's answer about {order.client_order_id}: {error}") from error

    async def _find_by_id(self, order: OrderRequest) -> LookupReply:
        asked = {
            "category": CATEGORY,
            "symbol": spelled(order.symbol),
            "orderLinkId": order.client_order_id,
        }
        for method in ("get_open_orders", "get_order_history"):
            for row in await self._rest.pages(method, **asked):
                if row.get("orderLinkId") == order.client_order_id:
                    return _found(row)
        return Absent("neither among the open and recent orders nor in their history")

    async def _find_attached(self, order: OrderRequest) -> LookupReply:
        sent = self._sent.get(order.client_order_id)
        levels = {level_of(order), sent.level if sent else None} - {None}
        rows = await self._rest.pages("get_positions", category=CATEGORY, symbol=spelled(order.symbol))
        for row in rows:
            if optional_number(row, _LEVELS[order.kind]) in levels:
                return Accepted(f"position/{order.symbol}")
        return await self._find_fired(order, sent, levels)

    async def _find_fired(
        self, order: OrderRequest, sent: _Attached | None, levels: set[Decimal | None]
    ) -> LookupReply:
        """It may have gone off since, and the position with it."""
        since = sent.at if sent else await self._rest.now() - _LATELY
        rows = await self._rest.pages(
            "get_open_orders", category=CATEGORY, symbol=spelled(order.symbol), openOnly=1, limit=50
        )
        for row in rows:
            if row.get("stopOrderType") != _STOP_TYPES[order.kind] or row.get("orderStatus") not in _FIRED:
                continue
            is_late = whole_of(row, "updatedTime") >= int(since.timestamp() * 1000)
            fits = order.kind is OrderKind.TRAILING_STOP or optional_number(row, "triggerPrice") in levels
            if is_late and fits:
                return Accepted(text_of(row, "orderId"))
        return Absent(f"the position has no {_LEVELS[order.kind]} of {sorted(map(str, levels))}")


def level_of(order: OrderRequest) -> Decimal | None:
    """What the position shows when it stands."""
    return order.trigger_price if order.kind is OrderKind.STOP else order.trail_distance


def _found(row: Row) -> Accepted | Refused:
    """An order that the venue itself rejected after it had accepted it was never one."""
    if text_of(row, "orderStatus") == "Rejected":
        return Refused(str(row.get("rejectReason") or "Rejected"), messages.why_over(row))
    return Accepted(text_of(row, "orderId"))
