"""What telegram knows of one trade, folded from the executor's events; for showing and explaining."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from nexus_common.contracts.risk import EntryApproved, Ladder
from nexus_common.contracts.trade import (
    ExitOrdered,
    ExitReason,
    LadderFilled,
    ProtectionFailed,
    ProtectionSet,
    TradeAbandoned,
    TradeAdmitted,
    TradeAlerted,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
    TradeEvent,
    TradeProposed,
    TradeReduced,
)
from nexus_common.contracts.values import AccountId, Direction, Symbol, TradeId, UserId, Venue


class TradeStatus(StrEnum):
    ALERTED = "alerted"
    PROPOSED = "proposed"
    ADMITTED = "entry ordered"
    OPEN = "open"
    CLOSED = "closed"
    DECLINED = "declined"
    ABANDONED = "abandoned"

    @property
    def is_over(self) -> bool:
        return self not in (TradeStatus.PROPOSED, TradeStatus.ADMITTED, TradeStatus.OPEN)


@dataclass(slots=True)
class TradeView:
    """`history` is (time, what happened) in the order of the events; `verdict` what shield weighed.

    Of a `ladder`, direction, quantity, price and stop are those of what it holds at the moment; `earned` and `fees`
    what it has come to so far.
    """

    trade_id: TradeId
    status: TradeStatus = TradeStatus.DECLINED
    user: UserId | None = None
    account: AccountId | None = None
    venue: Venue | None = None
    symbol: Symbol | None = None
    direction: Direction | None = None
    strategy: str = ""
    quantity: Decimal = Decimal(0)
    entry_price: Decimal | None = None
    stop: Decimal | None = None
    first_target: Decimal | None = None
    margin: Decimal = Decimal(0)
    opened_at: datetime | None = None
    expires_at: datetime | None = None
    verdict: EntryApproved | None = None
    result: TradeClosed | None = None
    ladder: Ladder | None = None
    earned: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    history: list[tuple[datetime, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called: `long BTCUSDT`, `ladder BTCUSDT`."""
        return f"{'ladder' if self.ladder is not None else self.direction} {self.symbol}"

    @property
    def is_out(self) -> bool:
        """Whether something of it stands at the venue: a position, or a ladder that holds nothing yet."""
        is_resting = self.ladder is not None and self.status is TradeStatus.ADMITTED
        return self.status is TradeStatus.OPEN or is_resting

    def follow(self, event: TradeEvent, at: datetime) -> None:
        match event:
            case TradeAlerted() | TradeProposed() | TradeAdmitted():
                self._begin(event)
            case TradeEntered():
                self._enter(event, at)
            case LadderFilled():
                self._rung(event)
            case ProtectionSet():
                self.stop, self.first_target = event.stop, event.first_target
            case TradeReduced():
                self.quantity = event.quantity
            case TradeClosed():
                self.status, self.result, self.quantity = TradeStatus.CLOSED, event, Decimal(0)
            case TradeDeclined():
                self.status = TradeStatus.DECLINED
            case TradeAbandoned():
                self.status = TradeStatus.ABANDONED
            case _:
                pass
        line = said(event)
        if line:
            self.history.append((at, line))

    def _begin(self, event: TradeAlerted | TradeProposed | TradeAdmitted) -> None:
        self.user, self.account, self.venue = event.user, event.account, event.venue
        self.symbol, self.direction, self.strategy = event.symbol, event.direction, event.strategy
        self.ladder = event.ladder
        match event:
            case TradeAlerted():
                self.status = TradeStatus.ALERTED
            case TradeProposed():
                self.status, self.expires_at = TradeStatus.PROPOSED, event.expires_at
            case TradeAdmitted():
                self.status = TradeStatus.ADMITTED

    def _enter(self, event: TradeEntered, at: datetime) -> None:
        self.status = TradeStatus.OPEN
        self.quantity, self.entry_price, self.margin = event.quantity, event.average_price, event.margin
        self.opened_at = self.opened_at or event.opened_at or at

    def _rung(self, event: LadderFilled) -> None:
        self.status, self.direction, self.quantity = TradeStatus.OPEN, event.direction, event.quantity
        self.entry_price, self.stop, self.margin = event.average_price, event.stop, event.margin
        self.earned, self.fees, self.opened_at = event.earned, event.fees, event.opened_at


def said(event: TradeEvent) -> str:
    """A trade's event in half a sentence; empty when it is not worth one."""
    match event:
        case TradeAlerted():
            return f"alert only (watcher), price {event.price}"
        case TradeProposed():
            return f"proposed at {event.price}, until {event.expires_at:%H:%M:%S}"
        case TradeAdmitted(ladder=ladder) if ladder is not None:
            rungs = f"{2 * ladder.plan.levels} rungs of {ladder.level_quantity}"
            return f"ladder ordered: {rungs} at leverage {event.leverage}, approved by {event.approved_by}"
        case TradeAdmitted():
            return f"entry ordered: {event.quantity} at leverage {event.leverage}, approved by {event.approved_by}"
        case TradeDeclined() | TradeAbandoned():
            return f"{'declined' if isinstance(event, TradeDeclined) else 'abandoned'}: {event.reason}"
        case TradeEntered():
            return f"{'entered' if event.complete else 'partly entered'}: {event.quantity} at {event.average_price}"
        case ProtectionSet():
            return f"stop {event.stop} for {event.stop_quantity} ({event.reason})"
        case TradeReduced():
            return f"{event.leg}: {event.quantity} left, filled at {event.price}"
        case ExitOrdered():
            return f"exit ordered, {_plain(event.reason)}: {event.detail}"
        case ProtectionFailed():
            return f"protection failed: {event.detail}"
        case TradeClosed():
            result = f"net {event.net_profit}, {event.r_multiple} R"
            return f"closed by {_plain(event.reason)} at {event.exit_price}, {result}"
        case _:
            return ""


def _plain(reason: ExitReason) -> str:
    return reason.replace("_", " ")
