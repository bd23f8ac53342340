"""The life of a trade from verdict to result. Owner: executor, streams `trade-{trade_id}`."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from nexus_common.contracts.message import Event
from nexus_common.contracts.signal import ExitPlan
from nexus_common.contracts.values import (
    AccountId,
    ClientOrderId,
    Direction,
    Instant,
    Money,
    Number,
    Origin,
    Price,
    Quantity,
    Symbol,
    Timeframe,
    TradeId,
    UserId,
    Venue,
)


class ExitReason(StrEnum):
    STOP = "stop"
    TARGET = "target"
    TRAIL = "trail"
    SIGNAL = "signal"
    TIME = "time"
    BLACK_SWAN = "black_swan"
    MANUAL = "manual"
    KILL = "kill"
    UNPROTECTED = "unprotected"
    LIQUIDATION = "liquidation"


class TradeAlerted(Event):
    """WATCHER: the owner is told, nothing is traded."""

    type = "trade.alerted"

    trade_id: TradeId
    account: AccountId
    user: UserId
    verdict_id: UUID
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    quantity: Quantity
    price: Price
    stop: Price


class TradeProposed(Event):
    """COPILOT: waits for the owner's answer until `expires_at`, or until price drifts beyond the limit."""

    type = "trade.proposed"

    trade_id: TradeId
    account: AccountId
    user: UserId
    verdict_id: UUID
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    quantity: Quantity
    price: Price
    stop: Price
    atr: Price
    expires_at: Instant
    drift_limit: Price


class TradeDeclined(Event):
    """The owner said no, or the proposal ran out; `reason` says which."""

    type = "trade.declined"

    trade_id: TradeId
    reason: str


class TradeAdmitted(Event):
    """The entry is to be ordered: at once (PILOT, by hand) or because the owner approved."""

    type = "trade.admitted"

    trade_id: TradeId
    account: AccountId
    user: UserId
    verdict_id: UUID
    origin: Origin
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    timeframe: Timeframe
    quantity: Quantity
    leverage: int
    price: Price
    plan: ExitPlan
    atr: Price
    equity: Money
    entry_order: ClientOrderId
    approved_by: str
    signal_id: UUID


class TradeEntered(Event):
    """Part or all of the entry filled; figures are cumulative."""

    type = "trade.entered"

    trade_id: TradeId
    account: AccountId
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    quantity: Quantity
    average_price: Price
    margin: Money
    complete: bool


class ProtectionSet(Event):
    """The stop and targets this position shall have at the venue, from its average fill price."""

    type = "trade.protection_set"

    trade_id: TradeId
    stop: Price
    stop_quantity: Quantity
    first_target: Price | None
    second_target: Price | None
    trail_distance: Price | None
    trail_activation: Price | None
    reason: str


class TradeReduced(Event):
    """Part of the position was closed; `quantity` is what is left."""

    type = "trade.reduced"

    trade_id: TradeId
    leg: str
    quantity: Number
    price: Price


class ExitOrdered(Event):
    """The rest of the position is being closed at the market, reduce-only."""

    type = "trade.exit_ordered"

    trade_id: TradeId
    reason: ExitReason
    detail: str
    exit_order: ClientOrderId


class ProtectionFailed(Event):
    """The venue refused the stop, or it is missing; the owner is told and the position is flattened."""

    type = "trade.protection_failed"

    trade_id: TradeId
    detail: str


class TradeClosed(Event):
    """The position is gone; every figure comes from fills and venue statements.

    `r_multiple` is net profit over the money at risk at entry, `return_on_margin` over the margin used,
    `return_on_equity` over the equity at the decision: three different numbers.
    """

    type = "trade.closed"

    trade_id: TradeId
    account: AccountId
    user: UserId
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    timeframe: Timeframe
    reason: ExitReason
    quantity: Quantity
    entry_price: Price
    exit_price: Price
    gross_profit: Money
    fees: Money
    funding: Money
    net_profit: Money
    r_multiple: Number
    return_on_margin: Number
    return_on_equity: Number
    opened_at: Instant
    closed_at: Instant
    atr: Price
    atr_mean: Price | None = None


class TradeAbandoned(Event):
    """The entry ended without a fill: nothing was ever held."""

    type = "trade.abandoned"

    trade_id: TradeId
    account: AccountId
    verdict_id: UUID
    symbol: Symbol
    reason: str


TradeEvent = (
    TradeAlerted
    | TradeProposed
    | TradeDeclined
    | TradeAdmitted
    | TradeEntered
    | ProtectionSet
    | TradeReduced
    | ExitOrdered
    | ProtectionFailed
    | TradeClosed
    | TradeAbandoned
)
