"""What an account holds according to its venue. Owner: executor, streams `account-{account}`."""

from __future__ import annotations

from nexus_common.contracts.message import Event
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
    """The venue holds something else than our fills say; signed quantities."""

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
