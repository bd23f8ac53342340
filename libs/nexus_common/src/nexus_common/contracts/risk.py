"""Verdicts and what they rest on. Owner: shield, streams `risk-{account}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from nexus_common.contracts.assessment import EntryContext, EntryRequest
from nexus_common.contracts.guard import GuardStanding
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.message import Event, command
from nexus_common.contracts.signal import ExitPlan, LadderPlan
from nexus_common.contracts.values import (
    AccountId,
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


class Ladder(Value):
    """A sized grid: every resting order is for `level_quantity`; centre and distances are multiples of the tick."""

    plan: LadderPlan
    level_quantity: Quantity


class EntryApproved(Event):
    """An entry may be made, of this size. Its event id is the verdict id and names the trade.

    Exposure is reserved until the order ends or `valid_until`. `plan` is final: stretched by the profile,
    its stop distance a whole number of ticks. `risk` is what is lost at the stop, round-trip fees included.

    With a `ladder`, `quantity` is the most that can be held at once (all levels of one side), `margin` and
    `notional` are those of all its orders together, and `direction` is nominal.
    """

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
    cooldown_until: Instant | None = None
    ladder: Ladder | None = None

    later: ClassVar[tuple[str, ...]] = ("ladder",)


class EntryRefused(Event):
    """An entry may not be made; `reason` is the first check that failed, all of them are listed.

    `price` is absent when nobody knows it: an order by hand on an instrument without a market.
    """

    type = "risk.entry_refused"

    request_id: UUID
    origin: Origin
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    price: Price | None
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
    request_id: UUID
    reason: str


class PositionNoted(Event):
    """Shield's own record of what an account holds in one trade; quantity 0 means nothing any more.

    `request_id` is the request whose reservation the position replaces once the entry is `complete`.
    """

    type = "risk.position_noted"

    trade_id: TradeId
    request_id: UUID | None
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    quantity: Number
    entry_price: Price
    margin: Money
    complete: bool


class ResultNoted(Event):
    """A trade ended; what the breaker, the cooldown and the statistics take from it."""

    type = "risk.result_noted"

    trade_id: TradeId
    request_id: UUID | None
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
    """A kill is over. `longs_free_until` lifts a block of the sentinel up to that end for this account."""

    type = "risk.entries_resumed"

    by: str
    longs_free_until: Instant | None = None


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


@command("risk.assess_entry")
@dataclass(frozen=True, slots=True)
class AssessEntry:
    """May this account enter, and with how much?"""

    account: AccountId
    request: EntryRequest
    context: EntryContext
    at: datetime


@command("risk.approve_exit")
@dataclass(frozen=True, slots=True)
class ApproveExit:
    """A strategy wants out of the position it opened."""

    request_id: UUID
    origin: Origin
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    reason: str
    at: datetime


@command("risk.note_position")
@dataclass(frozen=True, slots=True)
class NotePosition:
    """An entry filled, in part or whole; figures are cumulative."""

    trade_id: TradeId
    request_id: UUID | None
    venue: Venue
    symbol: Symbol
    direction: Direction
    strategy: str
    quantity: Quantity
    entry_price: Price
    margin: Money
    complete: bool
    at: datetime


@command("risk.note_reduction")
@dataclass(frozen=True, slots=True)
class NoteReduction:
    """Part of a position was closed; `quantity` is what is left."""

    trade_id: TradeId
    quantity: Number
    at: datetime


@command("risk.note_result")
@dataclass(frozen=True, slots=True)
class NoteResult:
    """A trade ended; `equity` is the account's after it."""

    trade_id: TradeId
    request_id: UUID | None
    symbol: Symbol
    strategy: str
    timeframe: Timeframe
    reason: str
    net_profit: Money
    r_multiple: Number
    atr: Price
    atr_mean: Price | None
    equity: Money
    settings: RiskSettings
    at: datetime


@command("risk.release_reservation")
@dataclass(frozen=True, slots=True)
class ReleaseReservation:
    verdict_id: UUID
    request_id: UUID
    reason: str
    at: datetime


@command("risk.mark_equity")
@dataclass(frozen=True, slots=True)
class MarkEquity:
    """The account's equity at this moment, open profit and loss included."""

    equity: Money
    settings: RiskSettings
    at: datetime


@command("risk.reset_breaker")
@dataclass(frozen=True, slots=True)
class ResetBreaker:
    by: str
    equity: Money
    at: datetime


@command("risk.halt_entries")
@dataclass(frozen=True, slots=True)
class HaltEntries:
    by: str
    at: datetime


@command("risk.resume_entries")
@dataclass(frozen=True, slots=True)
class ResumeEntries:
    """The owner wants to trade on; `guard` is the sentinel's block that he takes off his own account."""

    by: str
    guard: GuardStanding
    at: datetime


RiskCommand = (
    AssessEntry
    | ApproveExit
    | NotePosition
    | NoteReduction
    | NoteResult
    | ReleaseReservation
    | MarkEquity
    | ResetBreaker
    | HaltEntries
    | ResumeEntries
)
