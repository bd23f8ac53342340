"""One order at a venue and the fence around it. Owner: executor, streams `order-{client_order_id}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import (
    AccountId,
    ClientOrderId,
    Fraction,
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
    LADDER = "ladder"  # a resting order of a grid


class Liquidity(StrEnum):
    MAKER = "maker"
    TAKER = "taker"


class OrderIntentRecorded(Event):
    """An order is wanted. Nothing has been sent yet.

    `rung` is where a grid's order stands: 0 at the centre, positive above it, negative below. So a buy below the
    centre opens its rung, and a buy at or above it takes the profit of what was sold one rung further out.
    """

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
    trail_rate: Fraction | None = None
    rung: int | None = None

    later: ClassVar[tuple[str, ...]] = ("trail_rate", "rung")


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
    """A resting stop is to be moved, or to cover another `quantity` (absent: the one it has)."""

    type = "order.amend_started"

    client_order_id: ClientOrderId
    trigger_price: Price
    revision: int
    quantity: Quantity | None = None

    later: ClassVar[tuple[str, ...]] = ("quantity",)


class OrderAmended(Event):
    type = "order.amended"

    client_order_id: ClientOrderId
    trigger_price: Price
    revision: int
    quantity: Quantity | None = None

    later: ClassVar[tuple[str, ...]] = ("quantity",)


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


@command("order.record_intent")
@dataclass(frozen=True, slots=True)
class RecordIntent:
    """Write down an order and that its request is about to leave; both must be committed before it does."""

    intent: OrderIntentRecorded
    attempt: int
    deadline: datetime
    at: datetime


class Outcome(StrEnum):
    """What is known of a started submission."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    ABSENT = "absent"


@command("order.record_reply")
@dataclass(frozen=True, slots=True)
class RecordReply:
    """What the venue answered to the request itself; UNKNOWN when it did not.

    `at` is when the submission started, so that an answer found by a later lookup is the same fact.
    """

    outcome: Outcome
    at: datetime
    venue_order_id: str = ""
    code: str = ""
    reason: str = ""


@command("order.resolve_submit")
@dataclass(frozen=True, slots=True)
class ResolveSubmit:
    """What asking the venue brought about a submission without an answer: ACCEPTED (adopted) or ABSENT."""

    outcome: Outcome
    at: datetime
    venue_order_id: str = ""
    evidence: str = ""


@command("order.record_fill")
@dataclass(frozen=True, slots=True)
class RecordFill:
    """A trade of this order at the venue, from its private stream."""

    fill_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    liquidity: Liquidity
    complete: bool
    at: datetime


@command("order.start_cancel")
@dataclass(frozen=True, slots=True)
class StartCancel:
    reason: str
    at: datetime


@command("order.record_canceled")
@dataclass(frozen=True, slots=True)
class RecordCanceled:
    reason: str
    at: datetime


@command("order.start_amend")
@dataclass(frozen=True, slots=True)
class StartAmend:
    trigger_price: Decimal
    at: datetime
    quantity: Decimal | None = None


@command("order.record_amended")
@dataclass(frozen=True, slots=True)
class RecordAmended:
    revision: int
    at: datetime


@command("order.record_amend_refused")
@dataclass(frozen=True, slots=True)
class RecordAmendRefused:
    revision: int
    code: str
    reason: str
    at: datetime


@command("order.record_triggered")
@dataclass(frozen=True, slots=True)
class RecordTriggered:
    price: Decimal
    at: datetime


OrderCommand = (
    RecordIntent
    | RecordReply
    | ResolveSubmit
    | RecordFill
    | StartCancel
    | RecordCanceled
    | StartAmend
    | RecordAmended
    | RecordAmendRefused
    | RecordTriggered
)
