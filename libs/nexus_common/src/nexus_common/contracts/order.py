"""One order at a venue and the fence around it. Owner: executor, streams `order-{client_order_id}`."""

from __future__ import annotations

from enum import StrEnum

from nexus_common.contracts.message import Event
from nexus_common.contracts.values import (
    AccountId,
    ClientOrderId,
    Instant,
    Money,
    Number,
    Price,
    Quantity,
    Side,
    Symbol,
    TradeId,
    Venue,
)


class OrderKind(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"  # becomes a market order at its trigger
    TAKE_PROFIT = "take_profit"  # becomes a market order at its trigger
    TRAILING_STOP = "trailing_stop"


class Leg(StrEnum):
    """What an order is for within its trade."""

    ENTRY = "entry"
    STOP = "stop"
    FIRST_TARGET = "first_target"
    SECOND_TARGET = "second_target"
    TRAIL = "trail"
    EXIT = "exit"


class Liquidity(StrEnum):
    MAKER = "maker"
    TAKER = "taker"


class OrderIntentRecorded(Event):
    """An order is wanted. Nothing has been sent yet."""

    type = "order.intent_recorded"

    client_order_id: ClientOrderId
    trade_id: TradeId
    account: AccountId
    venue: Venue
    symbol: Symbol
    leg: Leg
    side: Side
    kind: OrderKind
    quantity: Quantity
    limit_price: Price | None = None
    trigger_price: Price | None = None
    trail_distance: Price | None = None
    reduce_only: bool = False
    close_position: bool = False
    leverage: int | None = None


class SubmitStarted(Event):
    """The request is about to leave; after a crash an outcome must be found before anything else."""

    type = "order.submit_started"

    client_order_id: ClientOrderId
    attempt: int
    deadline: Instant


class SubmitAccepted(Event):
    type = "order.submit_accepted"

    client_order_id: ClientOrderId
    venue_order_id: str


class SubmitRefused(Event):
    """The venue will never execute this order."""

    type = "order.submit_refused"

    client_order_id: ClientOrderId
    code: str
    reason: str


class SubmitUnknown(Event):
    """Nobody knows whether the venue took it; new exposure waits until that is resolved."""

    type = "order.submit_unknown"

    client_order_id: ClientOrderId
    reason: str


class SubmitProvenAbsent(Event):
    """The venue was asked, late enough and often enough: the order does not exist there."""

    type = "order.submit_proven_absent"

    client_order_id: ClientOrderId
    evidence: str


class OrderFilled(Event):
    """Part or all of an order traded at the venue."""

    type = "order.filled"

    client_order_id: ClientOrderId
    trade_id: TradeId
    leg: Leg
    symbol: Symbol
    side: Side
    fill_id: str
    quantity: Quantity
    price: Price
    fee: Money
    liquidity: Liquidity
    complete: bool


class CancelStarted(Event):
    type = "order.cancel_started"

    client_order_id: ClientOrderId
    reason: str


class OrderCanceled(Event):
    """The order is off the book; what had filled before stays filled."""

    type = "order.canceled"

    client_order_id: ClientOrderId
    reason: str


class AmendStarted(Event):
    """A resting stop is to be moved."""

    type = "order.amend_started"

    client_order_id: ClientOrderId
    trigger_price: Price
    revision: int


class OrderAmended(Event):
    type = "order.amended"

    client_order_id: ClientOrderId
    trigger_price: Price
    revision: int


class AmendRefused(Event):
    type = "order.amend_refused"

    client_order_id: ClientOrderId
    revision: int
    code: str
    reason: str


class OrderTriggered(Event):
    """A stop, take-profit or trailing stop reached its trigger and became a market order."""

    type = "order.triggered"

    client_order_id: ClientOrderId
    price: Number


OrderEvent = (
    OrderIntentRecorded
    | SubmitStarted
    | SubmitAccepted
    | SubmitRefused
    | SubmitUnknown
    | SubmitProvenAbsent
    | OrderFilled
    | CancelStarted
    | OrderCanceled
    | AmendStarted
    | OrderAmended
    | AmendRefused
    | OrderTriggered
)
