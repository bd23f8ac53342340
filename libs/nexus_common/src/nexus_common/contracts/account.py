"""What an account holds according to its venue. Owner: executor, streams `account-{account}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import (
    AccountId,
    Money,
    Number,
    Price,
    Quantity,
    Side,
    Symbol,
    UserId,
    Venue,
)


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
    """The venue's wallet balance after a fill, a fee, a funding payment or a transfer.

    `key`, here and below, is the identity of the venue's message, where it may tell the same again.
    """

    type = "account.balance_changed"

    account: AccountId
    wallet: Money
    change: Money
    reason: str
    key: str | None = None

    later: ClassVar[tuple[str, ...]] = ("key",)


class FundingPaid(Event):
    """Funding on an open position; a negative amount was received. Not every venue says its rate."""

    type = "account.funding_paid"

    account: AccountId
    symbol: Symbol
    rate: Number | None
    amount: Money
    key: str | None = None

    later: ClassVar[tuple[str, ...]] = ("key",)


class PositionDrifted(Event):
    """The venue holds something else than our fills say; signed quantities, equal when they agree again."""

    type = "account.position_drifted"

    account: AccountId
    symbol: Symbol
    expected: Number
    held: Number


class PositionLiquidated(Event):
    """The venue closed a position: `liquidation`, `adl` (deleveraging) or `settlement` (the contract ended)."""

    type = "account.position_liquidated"

    account: AccountId
    symbol: Symbol
    quantity: Number
    price: Price
    reason: str = "liquidation"
    key: str | None = None

    later: ClassVar[tuple[str, ...]] = ("reason", "key")


class HandTraded(Event):
    """Somebody traded on this account without us: a fill of an order that is not ours."""

    type = "account.hand_traded"

    account: AccountId
    symbol: Symbol
    side: Side
    quantity: Quantity
    price: Price
    fee: Money
    fill_id: str


class AccountNoted(Event):
    """Something about an account that its owner must hear."""

    type = "account.noted"

    account: AccountId
    text: str
    key: str | None = None

    later: ClassVar[tuple[str, ...]] = ("key",)


AccountEvent = (
    AccountOpened
    | BalanceChanged
    | FundingPaid
    | PositionDrifted
    | PositionLiquidated
    | HandTraded
    | AccountNoted
)


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
    key: str | None = None


@command("account.record_funding")
@dataclass(frozen=True, slots=True)
class RecordFunding:
    """`amount` as in FundingPaid: positive was paid, negative was received."""

    account: AccountId
    symbol: Symbol
    rate: Decimal | None
    amount: Decimal
    wallet: Decimal | None
    at: datetime
    key: str | None = None


@command("account.record_liquidation")
@dataclass(frozen=True, slots=True)
class RecordLiquidation:
    account: AccountId
    symbol: Symbol
    quantity: Decimal
    price: Decimal
    wallet: Decimal | None
    at: datetime
    reason: str = "liquidation"
    key: str | None = None


@command("account.record_hand_trade")
@dataclass(frozen=True, slots=True)
class RecordHandTrade:
    account: AccountId
    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fill_id: str
    at: datetime


@command("account.record_notice")
@dataclass(frozen=True, slots=True)
class RecordNotice:
    account: AccountId
    text: str
    at: datetime
    key: str | None = None


@command("account.report_drift")
@dataclass(frozen=True, slots=True)
class ReportDrift:
    """Signed quantities: what our fills say, and what the venue holds."""

    account: AccountId
    symbol: Symbol
    expected: Decimal
    held: Decimal
    at: datetime


AccountCommand = (
    OpenAccount
    | RecordBalance
    | RecordFunding
    | RecordLiquidation
    | RecordHandTrade
    | RecordNotice
    | ReportDrift
)
