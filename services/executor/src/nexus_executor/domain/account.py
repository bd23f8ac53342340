"""What an account holds according to its venue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import assert_never

from nexus_common.contracts.account import (
    AccountCommand,
    AccountEvent,
    AccountOpened,
    BalanceChanged,
    FundingPaid,
    OpenAccount,
    PositionDrifted,
    PositionLiquidated,
    RecordBalance,
    RecordFunding,
    RecordLiquidation,
    ReportDrift,
)
from nexus_common.contracts.decider import Decider, InvariantBroken
from nexus_common.contracts.values import AccountId, Symbol


@dataclass(frozen=True, slots=True)
class AccountState:
    """`drifts` are the differences reported last: signed (expected, held) by symbol."""

    opened: AccountOpened | None = None
    wallet: Decimal = Decimal(0)
    drifts: Mapping[Symbol, tuple[Decimal, Decimal]] = field(default_factory=dict)


def decide(command: AccountCommand, state: AccountState) -> Sequence[AccountEvent]:
    if isinstance(command, OpenAccount):
        return () if state.opened is not None else (_opened(command),)
    if state.opened is None:
        raise InvariantBroken(f"{type(command).__name__} for account {command.account}, which is not open")
    match command:
        case RecordBalance():
            return _balance(state, command.account, command.wallet, command.reason)
        case RecordFunding():
            paid = FundingPaid(
                account=command.account, symbol=command.symbol, rate=command.rate, amount=command.amount
            )
            return (paid, *_balance(state, command.account, command.wallet, "funding"))
        case RecordLiquidation():
            gone = PositionLiquidated(
                account=command.account,
                symbol=command.symbol,
                quantity=command.quantity,
                price=command.price,
            )
            return (gone, *_balance(state, command.account, command.wallet, "liquidation"))
        case ReportDrift():
            known = state.drifts.get(command.symbol, (command.held, command.held))
            if known == (command.expected, command.held) or (
                command.expected == command.held and known[0] == known[1]
            ):
                return ()
            return (
                PositionDrifted(
                    account=command.account,
                    symbol=command.symbol,
                    expected=command.expected,
                    held=command.held,
                ),
            )
        case _:
            assert_never(command)


def _opened(command: OpenAccount) -> AccountOpened:
    return AccountOpened(
        account=command.account,
        user=command.user,
        venue=command.venue,
        paper=command.paper,
        currency=command.currency,
        wallet=command.wallet,
    )


def _balance(
    state: AccountState, account: AccountId, wallet: Decimal | None, reason: str
) -> Sequence[BalanceChanged]:
    if wallet is None or wallet == state.wallet:
        return ()
    return (BalanceChanged(account=account, wallet=wallet, change=wallet - state.wallet, reason=reason),)


def evolve(state: AccountState, event: AccountEvent) -> AccountState:
    match event:
        case AccountOpened():
            return replace(state, opened=event, wallet=event.wallet)
        case BalanceChanged():
            return replace(state, wallet=event.wallet)
        case FundingPaid() | PositionLiquidated():
            return state
        case PositionDrifted():
            return replace(state, drifts={**state.drifts, event.symbol: (event.expected, event.held)})
        case _:
            assert_never(event)


ACCOUNT: Decider[AccountCommand, AccountState, AccountEvent] = Decider(
    "account", AccountState(), decide, evolve
)
