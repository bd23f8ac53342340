"""Alpaca's messages as our words. Pure; whatever is not as documented raises UnreadableFrame with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final

from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import ClientOrderId, Side, Symbol
from nexus_executor.venues.alpaca.orders import our_id
from nexus_executor.venues.broker import (
    UpdateKind,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueUpdate,
)
from nexus_executor.venues.private_stream import UnreadableFrame

Document = Mapping[str, Any]

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
    try:
        document = json.loads(raw, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UnreadableFrame(f"not JSON: {type(error).__name__}") from None
    if not isinstance(document, dict):
        raise UnreadableFrame("not an object")
    return document


def _no_number(name: str) -> Decimal:
    raise ValueError(f"{name} is not a number")


# -- the stream ---------------------------------------------------------------------------------------


def parse_frame(frame: Document) -> tuple[str | None, tuple[VenueUpdate, ...]]:
    """The order's id at the venue that a frame speaks of, and what it says that is worth telling."""
    stream = frame.get("stream")
    if stream in ("listening", "authorization"):
        return None, ()
    if stream != "trade_updates":
        raise UnreadableFrame(f"unknown stream {stream!r:.40}")
    data = _object(frame, "data")
    event = _text(data, "event")
    if event not in _FILLS | ENDINGS | _SILENT | _NOTICES:
        raise UnreadableFrame(f"unknown event {event:.40}")
    order = parse_order(_object(data, "order"))
    if event in _FILLS:
        return order.order_id, (_fill(data, order, event),)
    if event in ENDINGS:
        return order.order_id, (ending(order, event, _moment(data, "timestamp", "at")),)
    if event in _NOTICES:
        at = _moment(data, "timestamp", "at")
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
    return order.order_id, ()


def _fill(data: Document, order: OrderState, event: str) -> VenueUpdate:
    execution = _text(data, "execution_id")
    return VenueUpdate(
        0,
        _moment(data, "timestamp", "at"),
        UpdateKind.FILL,
        order.ours,
        order.symbol,
        order.side,
        fill_id=execution,
        quantity=_positive(data, "qty"),
        price=_positive(data, "price"),
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
    kind = _text(document, "type" if document.get("type") else "order_type")
    if kind not in _KINDS:
        raise UnreadableFrame(f"unknown order type {kind:.40}")
    status = _text(document, "status")
    if status not in _STATUSES:
        raise UnreadableFrame(f"unknown order status {status:.40}")
    ended = [document.get(name) for name in ("canceled_at", "expired_at", "failed_at")]
    return OrderState(
        order_id=_text(document, "id"),
        client_order_id=_text(document, "client_order_id"),
        symbol=Symbol(_text(document, "symbol")),
        side=_side(document),
        kind=_KINDS[kind],
        status=status,
        quantity=_number(document, "qty"),
        filled=_number(document, "filled_qty") or Decimal(0),
        stop_price=_number(document, "stop_price"),
        limit_price=_number(document, "limit_price"),
        replaced_by=_optional_text(document, "replaced_by"),
        submitted_at=_optional_moment(document.get("submitted_at")),
        ended_at=_optional_moment(next((value for value in ended if value), None)),
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
    quantity = _number(document, "qty")
    if not quantity:
        raise UnreadableFrame("a position without a quantity")
    side = _text(document, "side")
    if side not in ("long", "short"):
        raise UnreadableFrame(f"unknown side of a position {side:.40}")
    signed = abs(quantity) if side == "long" else -abs(quantity)
    return VenuePosition(Symbol(_text(document, "symbol")), signed, _positive(document, "avg_entry_price"))


def cost_of(document: Document) -> Decimal:
    """What a position has cost, negative for a short."""
    cost = _number(document, "cost_basis")
    if cost is None:
        raise UnreadableFrame("a position without cost_basis")
    return -abs(cost) if document.get("side") == "short" else cost


def cash_of(account: Document) -> Decimal:
    cash = _number(account, "cash")
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
    kind = _text(document, "type")
    if kind not in _FILLS:
        raise UnreadableFrame(f"unknown kind of fill {kind:.40}")
    return FillActivity(
        activity_id=_text(document, "id"),
        order_id=_text(document, "order_id"),
        symbol=Symbol(_text(document, "symbol")),
        side=_side(document),
        quantity=_positive(document, "qty"),
        price=_positive(document, "price"),
        at=_moment(document, "transaction_time"),
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
    amount = _number(document, "net_amount")
    if amount is None:
        raise UnreadableFrame("an activity without net_amount")
    symbol = _optional_text(document, "symbol")
    return CashActivity(
        activity_id=_text(document, "id"),
        kind=_text(document, "activity_type"),
        at=_moment(document, "created_at", "date"),
        amount=amount,
        symbol=None if symbol is None else Symbol(symbol),
    )


# -- fields -------------------------------------------------------------------------------------------


def _object(document: Document, name: str) -> Document:
    value = document.get(name)
    if not isinstance(value, dict):
        raise UnreadableFrame(f"{name} is missing")
    return value


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise UnreadableFrame(f"{name} is missing")
    return value


def _optional_text(document: Document, name: str) -> str | None:
    return None if document.get(name) is None else _text(document, name)


def _side(document: Document) -> Side:
    side = _text(document, "side")
    if side == "sell_short":
        return Side.SELL
    if side not in ("buy", "sell"):
        raise UnreadableFrame(f"unknown side {side:.40}")
    return Side(side)


def _number(document: Document, name: str) -> Decimal | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise UnreadableFrame(f"{name} is not a number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise UnreadableFrame(f"{name} is not a number") from None
    if not number.is_finite():
        raise UnreadableFrame(f"{name} is not a finite number")
    return number


def _positive(document: Document, name: str) -> Decimal:
    number = _number(document, name)
    if number is None or number <= 0:
        raise UnreadableFrame(f"{name} is not above zero")
    return number


def _moment(document: Document, *names: str) -> datetime:
    for name in names:
        if document.get(name) is not None:
            moment = _optional_moment(document[name])
            if moment is not None:
                return moment
    raise UnreadableFrame(f"{names[0]} is missing")


def _optional_moment(value: object) -> datetime | None:
    """A time in RFC 3339, with nanoseconds at times; a bare date is its midnight in UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None:
            raise ValueError(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnreadableFrame("a time is not readable") from None
