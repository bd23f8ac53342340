"""What an account holds according to its venue. Owner: executor, streams `account-{account}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import AccountId, Money, Number, Price, Symbol, UserId, Venue


class AccountOpened(Event):
    """An account is known to the executor; `wallet` is its balance without open profit."""

    type = "account.opened"

    account: AccountId
    user: UserId
    venue: Venue
    paper: bool
    currency: str
    wallet: Money


class BalanceChanged(Event):
    """The venue's wallet balance after a fill, a fee, a funding payment or a transfer."""

    type = "account.balance_changed"

    account: AccountId
    wallet: Money
    change: Money
    reason: str


class FundingPaid(Event):
    """Funding on an open position; a negative amount was received."""

    type = "account.funding_paid"

    account: AccountId
    symbol: Symbol
    rate: Number
    amount: Money


class PositionDrifted(Event):
    """The venue holds something else than our fills say; signed quantities, equal when they agree again."""

    type = "account.position_drifted"

    account: AccountId
    symbol: Symbol
    expected: Number
    held: Number


class PositionLiquidated(Event):
    type = "account.position_liquidated"

    account: AccountId
    symbol: Symbol
    quantity: Number
    price: Price


AccountEvent = AccountOpened | BalanceChanged | FundingPaid | PositionDrifted | PositionLiquidated


@command("account.open")
@dataclass(frozen=True, slots=True)
class OpenAccount:
    account: AccountId
    user: UserId
    venue: Venue
    paper: bool
    currency: str
    wallet: Decimal
    at: datetime


@command("account.record_balance")
@dataclass(frozen=True, slots=True)
class RecordBalance:
    """The wallet as the venue states it after something happened."""

    account: AccountId
    wallet: Decimal
    reason: str
    at: datetime


@command("account.record_funding")
@dataclass(frozen=True, slots=True)
class RecordFunding:
    """`amount` as in FundingPaid: positive was paid, negative was received."""

    account: AccountId
    symbol: Symbol
    rate: Decimal
    amount: Decimal
    wallet: Decimal | None
    at: datetime


@command("account.record_liquidation")
@dataclass(frozen=True, slots=True)
class RecordLiquidation:
    account: AccountId
    symbol: Symbol
    quantity: Decimal
    price: Decimal
    wallet: Decimal | None
    at: datetime


@command("account.report_drift")
@dataclass(frozen=True, slots=True)
class ReportDrift:
    """Signed quantities: what our fills say, and what the venue holds."""

    account: AccountId
    symbol: Symbol
    expected: Decimal
    held: Decimal
    at: datetime


AccountCommand = OpenAccount | RecordBalance | RecordFunding | RecordLiquidation | ReportDrift
