"""The life of a trade from verdict to result. Owner: executor, streams `trade-{trade_id}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.message import Event, command
from nexus_common.contracts.risk import EntryApproved, Ladder
from nexus_common.contracts.signal import ExitPlan
from nexus_common.contracts.values import (
    AccountId,
    ClientOrderId,
    Direction,
    Fraction,
    Instant,
    Mode,
    Money,
    Number,
    Origin,
    Price,
    Quantity,
    Side,
    Symbol,
    Timeframe,
    TradeId,
    UserId,
    Value,
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
    DELISTED = "delisted"


class Found(StrEnum):
    """By what a position that is not ours came to light; it takes the place of who approved a trade."""

    FILL = "found by its fill"
    POSITION = "found at the venue"


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
    ladder: Ladder | None = None

    later: ClassVar[tuple[str, ...]] = ("ladder",)


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
    ladder: Ladder | None = None

    later: ClassVar[tuple[str, ...]] = ("ladder",)


class TradeDeclined(Event):
    """The owner said no, or the proposal ran out; `reason` says which."""

    type = "trade.declined"

    trade_id: TradeId
    reason: str


class TradeAdmitted(Event):
    """The entry is to be ordered: at once (PILOT, by hand) or because the owner approved.

    A `ladder` has no entry order: its rungs rest, and `quantity` is the most that it can hold.
    """

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
    ladder: Ladder | None = None

    later: ClassVar[tuple[str, ...]] = ("ladder",)


class TradeEntered(Event):
    """Part or all of the entry filled; figures are cumulative.

    `complete`: nothing more will fill, because all did or because the rest was canceled.
    """

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
    fees: Money = Decimal(0)
    opened_at: Instant | None = None


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
    """Part of the position was closed; `quantity` is what is left, `fee` what this part's fill cost."""

    type = "trade.reduced"

    trade_id: TradeId
    leg: str
    quantity: Number
    price: Price
    fee: Money = Decimal(0)


class FundingNoted(Event):
    """Funding fell on this trade's position; a negative amount was received."""

    type = "trade.funding_noted"

    trade_id: TradeId
    amount: Money


class LadderFilled(Event):
    """A resting order of a grid filled; what is held afterwards, and what closing rungs has earned so far.

    `quantity` 0: nothing is held. `direction`, `average_price` and `stop` are those of what is held, averaged as
    venues do. `earned` is gross, `fees` are all paid so far.
    """

    type = "trade.ladder_filled"

    trade_id: TradeId
    account: AccountId
    venue: Venue
    symbol: Symbol
    strategy: str
    rung: int
    side: Side
    price: Price
    direction: Direction
    quantity: Number
    average_price: Price | None
    margin: Money
    stop: Price | None
    earned: Money
    fees: Money
    opened_at: Instant


class ExitOrdered(Event):
    """The rest of the position is being closed at the market, reduce-only."""

    type = "trade.exit_ordered"

    trade_id: TradeId
    reason: ExitReason
    detail: str
    exit_order: ClientOrderId


class TargetReached(Event):
    """The price of a target was reached where no order of it can rest: that part is taken at the market."""

    type = "trade.target_reached"

    trade_id: TradeId
    leg: str
    price: Price


class ProtectionFailed(Event):
    """The venue refused the stop, or it is missing; the owner is told and the position is flattened."""

    type = "trade.protection_failed"

    trade_id: TradeId
    detail: str


class TradeClosed(Event):
    """The position is gone; every figure comes from fills and venue statements.

    `funding` is what was paid (negative: received); net profit = gross profit - fees - funding.
    `r_multiple` is net profit over the money at risk at entry, `return_on_margin` over the margin used,
    `return_on_equity` over the equity at the decision: three different numbers.

    Of a ladder `quantity` is all that it bought, which is all that it sold, `entry_price` the average it bought at
    and `exit_price` the one it sold at; `direction` is nominal. Its risk and margin are those of its verdict.
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
    | LadderFilled
    | TradeReduced
    | FundingNoted
    | TargetReached
    | ExitOrdered
    | ProtectionFailed
    | TradeClosed
    | TradeAbandoned
)


class TargetPlan(Value):
    """How a position is split over its targets: shares of the quantity, and how far the second one is.

    The rest trails. Where a part would be smaller than the venue takes, the whole goes to the first target.
    """

    first_share: Fraction = Decimal("0.5")
    second_share: Fraction = Decimal("0.25")
    second_factor: Number = Decimal("1.5")


@command("trade.consider_verdict")
@dataclass(frozen=True, slots=True)
class ConsiderVerdict:
    """Put an approved entry through the owner's mode.

    `refusal` says why it must not be made after all (last hop, an unresolved order, a kill meanwhile).
    """

    verdict_id: UUID
    verdict: EntryApproved
    account: AccountId
    user: UserId
    mode: Mode
    proposal_seconds: int
    drift_atr: Decimal
    refusal: str | None
    at: datetime


@command("trade.answer_proposal")
@dataclass(frozen=True, slots=True)
class AnswerProposal:
    """The owner's answer; `price` is the instrument's last price, None when there is no fresh one."""

    verdict: EntryApproved
    approved: bool
    by: str
    price: Decimal | None
    refusal: str | None
    at: datetime


@command("trade.expire_proposal")
@dataclass(frozen=True, slots=True)
class ExpireProposal:
    """A proposal is off the table: run out, drifted, or overtaken by a kill or a black swan."""

    reason: str
    at: datetime


@command("trade.record_entry_fill")
@dataclass(frozen=True, slots=True)
class RecordEntryFill:
    """One fill of the entry order; `complete` as the order's."""

    quantity: Decimal
    price: Decimal
    fee: Decimal
    complete: bool
    instrument: Instrument
    targets: TargetPlan
    at: datetime


@command("trade.record_ladder_fill")
@dataclass(frozen=True, slots=True)
class RecordLadderFill:
    """One fill of a resting order of a ladder; `rung` is where it stood."""

    rung: int
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    at: datetime


@command("trade.record_exit_fill")
@dataclass(frozen=True, slots=True)
class RecordExitFill:
    """One fill of a stop, target, trailing or exit order, or the venue's liquidation (leg `liquidation`)."""

    leg: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    at: datetime


@command("trade.note_funding")
@dataclass(frozen=True, slots=True)
class NoteFunding:
    amount: Decimal
    at: datetime


@command("trade.adopt_position")
@dataclass(frozen=True, slots=True)
class AdoptPosition:
    """Take care of a position that somebody opened by hand, as of a trade of his.

    `price` is what it was entered at, `mark` where the market stands, if that is known.
    """

    trade_id: TradeId
    account: AccountId
    user: UserId
    venue: Venue
    symbol: Symbol
    direction: Direction
    quantity: Decimal
    price: Decimal
    fee: Decimal
    mark: Decimal | None
    plan: ExitPlan
    atr: Decimal
    equity: Decimal
    found: Found
    instrument: Instrument
    targets: TargetPlan
    at: datetime


@command("trade.move_stop")
@dataclass(frozen=True, slots=True)
class MoveStop:
    """Only ever toward profit; anything else is ignored."""

    stop: Decimal
    reason: str
    at: datetime


@command("trade.tighten_trail")
@dataclass(frozen=True, slots=True)
class TightenTrail:
    """Let the trailing part follow closer; a wider distance than the present one is ignored."""

    distance: Decimal
    reason: str
    at: datetime


@command("trade.move_targets")
@dataclass(frozen=True, slots=True)
class MoveTargets:
    """Only ever further out; a target that is nearer than the present one is ignored."""

    first: Decimal
    second: Decimal | None
    reason: str
    at: datetime


@command("trade.reach_target")
@dataclass(frozen=True, slots=True)
class ReachTarget:
    """A closed bar reached the price of a target (leg `first_target` or `second_target`)."""

    leg: str
    price: Decimal
    at: datetime


@command("trade.order_exit")
@dataclass(frozen=True, slots=True)
class OrderExit:
    reason: ExitReason
    detail: str
    at: datetime


@command("trade.abandon_entry")
@dataclass(frozen=True, slots=True)
class AbandonEntry:
    """The entry order ended, or a ladder's last rung: what has not filled never will."""

    reason: str
    at: datetime


@command("trade.write_off")
@dataclass(frozen=True, slots=True)
class WriteOffRest:
    """What is left is too small for any order of the venue: the trade ends with what was traded."""

    at: datetime


@command("trade.report_unprotected")
@dataclass(frozen=True, slots=True)
class ReportUnprotected:
    detail: str
    at: datetime


TradeCommand = (
    ConsiderVerdict
    | AnswerProposal
    | ExpireProposal
    | RecordEntryFill
    | RecordLadderFill
    | RecordExitFill
    | NoteFunding
    | AdoptPosition
    | MoveStop
    | TightenTrail
    | MoveTargets
    | ReachTarget
    | OrderExit
    | AbandonEntry
    | WriteOffRest
    | ReportUnprotected
)
