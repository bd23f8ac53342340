"""Orders as Alpaca knows them, and the order object that every answer and message holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from nexus_common.contracts.values import Side, format_decimal, format_instant
from nexus_market.exchange import Order
from nexus_simvenue.alpaca.intake import Wish

_SPACE = UUID("a19aca00-0000-5000-8000-000000000001")


class State(StrEnum):
    HELD = "held"  # the leg of an order that has not filled yet
    ACCEPTED = "accepted"  # waits for the market to open
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REJECTED = "rejected"


OPEN_STATES = frozenset((State.HELD, State.ACCEPTED, State.NEW, State.PARTIALLY_FILLED))


@dataclass(slots=True, eq=False)
class Record:
    """One order at Alpaca. A replacement is a record of its own.

    `engine_id` names the engine's order, once there is one. `expires` is when a DAY order ends.
    `siblings` are the orders of its group that are canceled with it.
    """

    id: str
    client_order_id: str
    wish: Wish
    qty: Decimal
    created_at: datetime
    state: State = State.NEW
    engine_id: str | None = None
    expires: datetime | None = None
    routed: bool = False
    filled: Decimal = Decimal(0)
    filled_value: Decimal = Decimal(0)
    stop_price: Decimal | None = None
    limit_price: Decimal | None = None
    parent: Record | None = None
    legs: list[Record] = field(default_factory=list)
    siblings: list[Record] = field(default_factory=list)
    shares_hold: bool = False
    replaces: str | None = None
    replaced_by: str | None = None
    intent: str = ""
    source: Order | None = None
    times: dict[str, datetime] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def side(self) -> Side:
        return self.wish.side

    @property
    def symbol(self) -> str:
        return self.wish.symbol

    @property
    def remaining(self) -> Decimal:
        return self.qty - self.filled

    def mark(self, state: State, at: datetime, stamp: str) -> None:
        self.state = state
        self.times[stamp] = self.times["updated_at"] = at


def made_id(*parts: object) -> str:
    """An id that follows from its parts, so that a journal gone through again gives the same."""
    return str(uuid5(_SPACE, "/".join(str(part) for part in parts)))


def number(value: Decimal | None) -> str | None:
    """Without trailing zeros, as Alpaca writes numbers: as text."""
    if value is None:
        return None
    return format_decimal(value.normalize() if value else Decimal(0))


def instant(value: datetime | None) -> str | None:
    return None if value is None else format_instant(value)


def show(record: Record, nested: bool = False) -> dict[str, Any]:
    """The order object of the documents."""
    wish, times = record.wish, record.times
    order = record.source
    trails = wish.type == "trailing_stop"
    hwm = order.extreme if trails and order is not None else None
    return {
        "id": record.id,
        "client_order_id": record.client_order_id,
        "created_at": instant(record.created_at),
        "updated_at": instant(times.get("updated_at", record.created_at)),
        "submitted_at": instant(record.created_at),
        **{name: instant(times.get(name)) for name in ("filled_at", "expired_at", "canceled_at")},
        **{name: instant(times.get(name)) for name in ("failed_at", "replaced_at")},
        "cancel_requested_at": None,
        "replaced_by": record.replaced_by,
        "replaces": record.replaces,
        "asset_id": made_id("asset", wish.symbol),
        "symbol": wish.symbol,
        "asset_class": "us_equity",
        "notional": number(wish.notional),
        "qty": None if wish.notional is not None else number(record.qty),
        "filled_qty": number(record.filled),
        "filled_avg_price": number(round(record.filled_value / record.filled, 6)) if record.filled else None,
        "order_class": wish.order_class,
        "order_type": wish.type,
        "type": wish.type,
        "side": str(wish.side),
        "position_intent": record.intent,
        "time_in_force": wish.time_in_force,
        "limit_price": number(record.limit_price),
        "stop_price": number(_trailed(record, hwm) if trails else record.stop_price),
        "status": str(record.state),
        "extended_hours": wish.extended_hours,
        "legs": [show(leg) for leg in record.legs] if nested and record.legs else None,
        "trail_percent": number(wish.trail_percent),
        "trail_price": number(wish.trail_price),
        "hwm": number(hwm),
        "subtag": None,
        "source": None,
    }


def _trailed(record: Record, hwm: Decimal | None) -> Decimal | None:
    if hwm is None:
        return None
    percent, price = record.wish.trail_percent, record.wish.trail_price
    distance = price if percent is None else round(hwm * percent / 100, 2)
    if distance is None:
        return None
    return hwm - distance if record.side is Side.SELL else hwm + distance
