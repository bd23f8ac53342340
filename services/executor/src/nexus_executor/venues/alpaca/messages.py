"""Alpaca's messages as our words. Pure; whatever is not as documented raises UnreadableFrame with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import ClientOrderId, Side, Symbol
from nexus_executor.venues.alpaca.fields import (
    Document,
    moment_of,
    number_of,
    object_of,
    optional_moment,
    optional_text,
    positive_of,
    side_of,
    text_of,
)
from nexus_executor.venues.alpaca.orders import our_id
from nexus_executor.venues.broker import (
    UpdateKind,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueUpdate,
)
from nexus_executor.venues.exact_json import exact_json
from nexus_executor.venues.private_stream import UnreadableFrame

_KINDS: Final[Mapping[str, OrderKind]] = MappingProxyType(
    {
        "market": OrderKind.MARKET,
        "limit": OrderKind.LIMIT,
        "stop": OrderKind.STOP,
        "stop_limit": OrderKind.STOP,
        "trailing_stop": OrderKind.TRAILING_STOP,
    }
)
# Every status of the documents, and what is left of such an order.
_STATUSES: Final[Mapping[str, VenueOrderStatus]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                *("new", "partially_filled", "done_for_day", "pending_cancel", "pending_replace", "accepted"),
                *("pending_new", "accepted_for_bidding", "stopped", "suspended", "calculated", "held"),
                "pending_review",
            ),
            VenueOrderStatus.OPEN,
        ),
        "filled": VenueOrderStatus.FILLED,
        **dict.fromkeys(("canceled", "expired", "replaced", "rejected"), VenueOrderStatus.CANCELED),
    }
)
_FILLS: Final = frozenset(("fill", "partial_fill"))
ENDINGS: Final = frozenset(("canceled", "expired", "rejected"))
# What says nothing that the executor does not know from elsewhere.
_SILENT: Final = frozenset(
    (
        *("new", "accepted", "pending_new", "replaced", "done_for_day", "stopped", "pending_cancel"),
        *("pending_replace", "calculated", "suspended", "held", "restated", "accepted_for_bidding"),
    )
)
_NOTICES: Final = frozenset(
    ("order_replace_rejected", "order_cancel_rejected", "trade_bust", "trade_correct")
)


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order object, as far as the executor reads it."""

    order_id: str
    client_order_id: str
    symbol: Symbol
    side: Side
    kind: OrderKind
    status: str
    quantity: Decimal | None
    filled: Decimal
    stop_price: Decimal | None
    limit_price: Decimal | None
    replaced_by: str | None
    submitted_at: datetime | None
    ended_at: datetime | None

    @property
    def ours(self) -> ClientOrderId:
        return our_id(self.client_order_id)

    @property
    def stands(self) -> VenueOrderStatus:
        return _STATUSES[self.status]


def parse_json(raw: str | bytes) -> Document:
    """A frame or body; numbers stay decimals."""
    document = exact_json(raw)
    if not isinstance(document, dict):
        raise UnreadableFrame("not an object")
    return document


# -- the stream ---------------------------------------------------------------------------------------


def parse_frame(frame: Document) -> tuple[str | None, tuple[VenueUpdate, ...]]:
    """The order's id at the venue that a frame speaks of, and what it says that is worth telling."""
    stream = frame.get("stream")
    if stream in ("listening", "authorization"):
        return None, ()
    if stream != "trade_updates":
        raise UnreadableFrame(f"unknown stream {stream!r:.40}")
    data = object_of(frame, "data")
    event = text_of(data, "event")
    if event not in _FILLS | ENDINGS | _SILENT | _NOTICES:
        raise UnreadableFrame(f"unknown event {event:.40}")
    order = parse_order(object_of(data, "order"))
    if event in _FILLS:
        return order.order_id, (_fill(data, order, event),)
    if event in ENDINGS:
        return order.order_id, (ending(order, event, moment_of(data, "timestamp", "at")),)
    if event in _NOTICES:
        at = moment_of(data, "timestamp", "at")
        notice = VenueUpdate(
            0,
            at,
            UpdateKind.NOTICE,
            order.ours,
            order.symbol,
            order.side,
            reason=event.replace("_", " "),
            key=f"{event}:{order.order_id}:{at.isoformat()}",
        )
        return order.order_id, (notice,)
    if event == "replaced" and order.replaced_by is not None:
        # The word about the order that takes its place; another one need not follow.
        return order.replaced_by, ()
    return order.order_id, ()


def _fill(data: Document, order: OrderState, event: str) -> VenueUpdate:
    execution = text_of(data, "execution_id")
    return VenueUpdate(
        0,
        moment_of(data, "timestamp", "at"),
        UpdateKind.FILL,
        order.ours,
        order.symbol,
        order.side,
        fill_id=execution,
        quantity=positive_of(data, "qty"),
        price=positive_of(data, "price"),
        fee=Decimal(0),
        liquidity=_liquidity(order.kind),
        complete=event == "fill",
        key=f"fill:{execution}",
    )


def _liquidity(kind: OrderKind) -> Liquidity:
    """Alpaca does not say, and takes no fee for either."""
    return Liquidity.MAKER if kind is OrderKind.LIMIT else Liquidity.TAKER


def ending(order: OrderState, event: str, at: datetime) -> VenueUpdate:
    """The end of an order without another fill; told once, whoever tells it."""
    return VenueUpdate(
        0,
        at,
        UpdateKind.CANCELED,
        order.ours,
        order.symbol,
        order.side,
        reason=f"{event} at the venue",
        key=f"end:{order.order_id}",
    )


# -- answers ------------------------------------------------------------------------------------------


def parse_order(document: Document) -> OrderState:
    """An order object of an answer or a message."""
    kind = text_of(document, "type" if document.get("type") else "order_type")
    if kind not in _KINDS:
        raise UnreadableFrame(f"unknown order type {kind:.40}")
    status = text_of(document, "status")
    if status not in _STATUSES:
        raise UnreadableFrame(f"unknown order status {status:.40}")
    filled = number_of(document, "filled_qty")
    if filled is None:
        raise UnreadableFrame("filled_qty is missing")
    ended = [document.get(name) for name in ("canceled_at", "expired_at", "failed_at")]
    return OrderState(
        order_id=text_of(document, "id"),
        client_order_id=text_of(document, "client_order_id"),
        symbol=Symbol(text_of(document, "symbol")),
        side=side_of(document),
        kind=_KINDS[kind],
        status=status,
        quantity=number_of(document, "qty"),
        filled=filled,
        stop_price=number_of(document, "stop_price"),
        limit_price=number_of(document, "limit_price"),
        replaced_by=optional_text(document, "replaced_by"),
        submitted_at=optional_moment(document.get("submitted_at")),
        ended_at=optional_moment(next((value for value in ended if value), None)),
    )


def venue_order(order: OrderState) -> VenueOrder:
    """An order that stands, as the executor compares it with its own."""
    quantity = order.quantity
    if quantity is None:
        raise UnreadableFrame("an order without a quantity stands")
    return VenueOrder(
        order.ours,
        order.order_id,
        order.symbol,
        order.side,
        order.kind,
        order.stands,
        quantity,
        order.filled,
        order.stop_price,
    )


def parse_position(document: Document) -> VenuePosition:
    quantity = number_of(document, "qty")
    if not quantity:
        raise UnreadableFrame("a position without a quantity")
    side = text_of(document, "side")
    if side not in ("long", "short"):
        raise UnreadableFrame(f"unknown side of a position {side:.40}")
    signed = abs(quantity) if side == "long" else -abs(quantity)
    return VenuePosition(
        Symbol(text_of(document, "symbol")), signed, positive_of(document, "avg_entry_price")
    )


def cost_of(document: Document) -> Decimal:
    """What a position has cost, negative for a short."""
    cost = number_of(document, "cost_basis")
    if cost is None:
        raise UnreadableFrame("a position without cost_basis")
    return -abs(cost) if document.get("side") == "short" else cost


def cash_of(account: Document) -> Decimal:
    cash = number_of(account, "cash")
    if cash is None:
        raise UnreadableFrame("an account without cash")
    return cash


@dataclass(frozen=True, slots=True)
class FillActivity:
    """A fill as the account's activities have it."""

    activity_id: str
    order_id: str
    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal
    at: datetime
    complete: bool

    @property
    def execution_id(self) -> str:
        return self.activity_id.rpartition("::")[2]

    def update(self, order: OrderState | None) -> VenueUpdate:
        """The same message as the stream's."""
        return VenueUpdate(
            0,
            self.at,
            UpdateKind.FILL,
            None if order is None else order.ours,
            self.symbol,
            self.side,
            fill_id=self.execution_id,
            quantity=self.quantity,
            price=self.price,
            fee=Decimal(0),
            liquidity=Liquidity.TAKER if order is None else _liquidity(order.kind),
            complete=self.complete,
            key=f"fill:{self.execution_id}",
        )


def parse_fill_activity(document: Document) -> FillActivity:
    kind = text_of(document, "type")
    if kind not in _FILLS:
        raise UnreadableFrame(f"unknown kind of fill {kind:.40}")
    return FillActivity(
        activity_id=text_of(document, "id"),
        order_id=text_of(document, "order_id"),
        symbol=Symbol(text_of(document, "symbol")),
        side=side_of(document),
        quantity=positive_of(document, "qty"),
        price=positive_of(document, "price"),
        at=moment_of(document, "transaction_time"),
        complete=kind == "fill",
    )


@dataclass(frozen=True, slots=True)
class CashActivity:
    """A change of cash that is no trade."""

    activity_id: str
    kind: str
    at: datetime
    amount: Decimal
    symbol: Symbol | None


def parse_cash_activity(document: Document) -> CashActivity:
    amount = number_of(document, "net_amount")
    if amount is None:
        raise UnreadableFrame("an activity without net_amount")
    symbol = optional_text(document, "symbol")
    return CashActivity(
        activity_id=text_of(document, "id"),
        kind=text_of(document, "activity_type"),
        at=moment_of(document, "created_at", "date"),
        amount=amount,
        symbol=None if symbol is None else Symbol(symbol),
    )
