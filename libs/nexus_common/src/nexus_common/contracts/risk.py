"""Verdicts and what they rest on. Owner: shield, streams `risk-{account}`."""

from __future__ import annotations

from uuid import UUID

from nexus_common.contracts.message import Event
from nexus_common.contracts.signal import ExitPlan
from nexus_common.contracts.values import (
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
    Value,
    Venue,
)


class Check(Value):
    """One rule of a verdict, with the figures it was decided on."""

    name: str
    passed: bool
    detail: str


class EntryApproved(Event):
    """An entry may be made, of this size. Its event id is the verdict id and names the trade."""

    type = "risk.entry_approved"

    request_id: UUID
    origin: Origin
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    timeframe: Timeframe
    quantity: Quantity
    leverage: int
    margin: Money
    notional: Money
    price: Price
    stop: Price
    plan: ExitPlan
    atr: Price
    risk: Money
    equity: Money
    confidence: Number
    checks: tuple[Check, ...]
    valid_until: Instant


class EntryRefused(Event):
    """An entry may not be made; `reason` is the first check that failed, all of them are listed."""

    type = "risk.entry_refused"

    request_id: UUID
    origin: Origin
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    price: Price
    equity: Money
    reason: str
    checks: tuple[Check, ...]


class ExitApproved(Event):
    """A position is to be closed, whole; exits are never held back."""

    type = "risk.exit_approved"

    request_id: UUID
    origin: Origin
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    reason: str


class ReservationReleased(Event):
    """What a verdict had reserved is free again: its order ended, or it was not used in time."""

    type = "risk.reservation_released"

    verdict_id: UUID
    reason: str


class PositionNoted(Event):
    """Shield's own record of what an account holds in one trade; quantity 0 means nothing any more."""

    type = "risk.position_noted"

    trade_id: TradeId
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    quantity: Number
    entry_price: Price
    margin: Money


class ResultNoted(Event):
    """A trade ended; what the breaker, the cooldown and the statistics take from it."""

    type = "risk.result_noted"

    trade_id: TradeId
    symbol: Symbol
    strategy: str
    reason: str
    net_profit: Money
    r_multiple: Number
    losing_streak: int
    cooldown_until: Instant | None
    rest_until: Instant | None


class DayOpened(Event):
    """The first equity reading of a UTC day, which the daily loss limit counts from."""

    type = "risk.day_opened"

    day: str
    equity: Money


class PeakRaised(Event):
    """Equity stands higher than ever: since the last reset, of all time, or both."""

    type = "risk.peak_raised"

    peak_since_reset: Money
    peak_all_time: Money


class BreakerTripped(Event):
    """Automated entries pause until the owner resets; exits and stops go on."""

    type = "risk.breaker_tripped"

    reason: str
    equity: Money
    detail: str


class BreakerReset(Event):
    type = "risk.breaker_reset"

    by: str
    equity: Money


class EntriesHalted(Event):
    """The owner killed trading on this account: nothing new until he resumes."""

    type = "risk.entries_halted"

    by: str


class EntriesResumed(Event):
    type = "risk.entries_resumed"

    by: str


RiskEvent = (
    EntryApproved
    | EntryRefused
    | ExitApproved
    | ReservationReleased
    | PositionNoted
    | ResultNoted
    | DayOpened
    | PeakRaised
    | BreakerTripped
    | BreakerReset
    | EntriesHalted
    | EntriesResumed
)
