"""Orders as Binance tells them: one sheet an order, plain or conditional, over the engine's own order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import format_decimal
from nexus_market.exchange import Order, Status
from nexus_simvenue.binance.parameters import millis

ZERO: Final = Decimal(0)
_CENT: Final = Decimal("0.00000001")
ORDER_IDS: Final = 8_880_000_000
ALGO_IDS: Final = 1_000_000_000_000_000
REQUESTED: Final = "requested"

ALGO_KINDS: Final = {
    "STOP": OrderKind.STOP,
    "STOP_MARKET": OrderKind.STOP,
    "TAKE_PROFIT": OrderKind.TAKE_PROFIT,
    "TAKE_PROFIT_MARKET": OrderKind.TAKE_PROFIT,
    "TRAILING_STOP_MARKET": OrderKind.TRAILING_STOP,
}
CONDITIONAL: Final = frozenset(ALGO_KINDS.values())
_MARKET_TYPES: Final = {
    OrderKind.STOP: "STOP_MARKET",
    OrderKind.TAKE_PROFIT: "TAKE_PROFIT_MARKET",
    OrderKind.TRAILING_STOP: "TRAILING_STOP_MARKET",
}


def money(amount: Decimal) -> str:
    return format_decimal(amount.quantize(_CENT))


def digits(amount: Decimal | None) -> str:
    return "0" if amount is None else format_decimal(amount)


@dataclass(slots=True)
class Terms:
    """What an order was sent with beyond what the engine keeps."""

    time_in_force: str = "GTC"
    working_type: str = "CONTRACT_PRICE"
    position_side: str = "BOTH"
    price_protect: bool = False
    activate_price: Decimal | None = None
    callback_rate: Decimal | None = None


@dataclass(slots=True, eq=False)
class Sheet:
    """One accepted order. `covers`: what a close-position order found to close when it triggered.

    `traded` is what of it has been told.
    """

    order: Order
    algo: bool
    order_type: str
    terms: Terms
    limit_price: Decimal | None
    triggered_at: datetime | None = None
    trigger_price: Decimal | None = None
    covers: Decimal = ZERO
    traded: Decimal = ZERO

    @classmethod
    def of(cls, order: Order, terms: Terms | None, order_type: str | None) -> Sheet:
        algo = order.kind in CONDITIONAL
        found = order_type or (_MARKET_TYPES[order.kind] if algo else str(order.kind).upper())
        return cls(order, algo, found, terms or Terms(), order.ticket.limit_price)

    @property
    def client_id(self) -> str:
        return self.order.ticket.client_order_id

    @property
    def order_id(self) -> int:
        return ORDER_IDS + self.order.number

    @property
    def algo_id(self) -> int:
        return ALGO_IDS + self.order.number

    @property
    def in_matching(self) -> bool:
        """Whether the matching engine has it: a conditional order only once it has triggered."""
        return not self.algo or self.triggered_at is not None

    @property
    def is_open(self) -> bool:
        return self.order.status is Status.OPEN

    @property
    def closes(self) -> bool:
        return self.order.ticket.close_position

    @property
    def quantity(self) -> Decimal:
        return max(self.covers, self.order.filled) if self.closes else self.order.ticket.quantity

    @property
    def created(self) -> int:
        return 0 if self.order.placed_at is None else millis(self.order.placed_at)

    @property
    def placed(self) -> int:
        """When the matching engine got it."""
        return self.created if self.triggered_at is None else millis(self.triggered_at)

    @property
    def updated(self) -> int:
        return self.created if self.order.changed_at is None else millis(self.order.changed_at)

    @property
    def status(self) -> str:
        """Of the plain order."""
        match self.order.status:
            case Status.FILLED:
                return "FILLED"
            case Status.CANCELED:
                return "CANCELED" if self.order.reason == REQUESTED else "EXPIRED"
            case _:
                return "PARTIALLY_FILLED" if self.order.filled else "NEW"

    @property
    def algo_status(self) -> str:
        if self.triggered_at is not None:
            return "TRIGGERED" if self.is_open else "FINISHED"
        return self.status if self.order.status is Status.CANCELED else "NEW"

    @property
    def matching_type(self) -> str:
        """As what it stands in the matching engine."""
        if not self.algo:
            return self.order_type
        return "MARKET" if self.limit_price is None else "LIMIT"

    @property
    def side(self) -> str:
        return str(self.order.side).upper()

    def row(self) -> dict[str, Any]:
        """An order as queries and answers have it."""
        order = self.order
        return {
            "orderId": self.order_id,
            "symbol": order.symbol,
            "status": self.status,
            "clientOrderId": self.client_id,
            "price": digits(self.limit_price),
            "avgPrice": digits(average(order)),
            "origQty": digits(self.quantity),
            "executedQty": digits(order.filled),
            "cumQuote": money(order.fill_value),
            "timeInForce": self.terms.time_in_force,
            "type": self.matching_type,
            "reduceOnly": order.reduces,
            "closePosition": self.closes,
            "side": self.side,
            "positionSide": self.terms.position_side,
            "stopPrice": "0",
            "workingType": self.terms.working_type,
            "priceProtect": self.terms.price_protect,
            "origType": self.matching_type,
            "priceMatch": "NONE",
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "goodTillDate": 0,
            "time": self.placed,
            "updateTime": self.updated,
        }

    def algo_row(self) -> dict[str, Any]:
        """A conditional order as the algo service has it."""
        order, trailing = self.order, self.order_type == "TRAILING_STOP_MARKET"
        row: dict[str, Any] = {
            "algoId": self.algo_id,
            "clientAlgoId": self.client_id,
            "algoType": "CONDITIONAL",
            "orderType": self.order_type,
            "symbol": order.symbol,
            "side": self.side,
            "positionSide": self.terms.position_side,
            "timeInForce": self.terms.time_in_force,
            "quantity": "0" if self.closes else digits(order.ticket.quantity),
            "algoStatus": self.algo_status,
            "actualOrderId": str(self.order_id) if self.in_matching else "",
            "actualPrice": digits(average(order)),
            "actualQty": digits(order.filled),
            "actualType": self.matching_type if self.in_matching else "",
            "triggerPrice": digits(order.ticket.trigger_price),
            "price": digits(self.limit_price),
            "icebergQuantity": None,
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "workingType": self.terms.working_type,
            "priceMatch": "NONE",
            "closePosition": self.closes,
            "priceProtect": self.terms.price_protect,
            "reduceOnly": order.ticket.reduce_only,
            "createTime": self.created,
            "updateTime": self.updated,
            "triggerTime": 0 if self.triggered_at is None else millis(self.triggered_at),
            "goodTillDate": 0,
        }
        if trailing:
            row["activatePrice"] = digits(self.terms.activate_price)
            row["callbackRate"] = digits(self.terms.callback_rate)
        return row


def average(order: Order) -> Decimal:
    price = order.average_price
    return ZERO if price is None else price.quantize(_CENT).normalize()
