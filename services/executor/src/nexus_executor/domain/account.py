"""What an account holds according to its venue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import assert_never

from nexus_common.contracts.account import (
    AccountCommand,
    AccountEvent,
    AccountNoted,
    AccountOpened,
    BalanceChanged,
    FundingPaid,
    HandTraded,
    OpenAccount,
    PositionDrifted,
    PositionLiquidated,
    RecordBalance,
    RecordFunding,
    RecordHandTrade,
    RecordLiquidation,
    RecordNotice,
    ReportDrift,
)
from nexus_common.contracts.decider import Decider, InvariantBroken
from nexus_common.contracts.values import AccountId, Symbol


@dataclass(frozen=True, slots=True)
class AccountState:
    """`drifts` are the differences reported last: signed (expected, held) by symbol.

    `keys` are the venue's messages that were taken already; after a restart it may tell them again.
    """

    opened: AccountOpened | None = None
    wallet: Decimal = Decimal(0)
    drifts: Mapping[Symbol, tuple[Decimal, Decimal]] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()


def decide(command: AccountCommand, state: AccountState) -> Sequence[AccountEvent]:
    if isinstance(command, OpenAccount):
        return () if state.opened is not None else (_opened(command),)
    if state.opened is None:
        raise InvariantBroken(f"{type(command).__name__} for account {command.account}, which is not open")
    if _key(command) in state.keys:
        return ()
    match command:
        case RecordBalance():
            return _balance(state, command.account, command.wallet, command.reason, command.key)
        case RecordFunding():
            paid = FundingPaid(
                account=command.account,
                symbol=command.symbol,
                rate=command.rate,
                amount=command.amount,
                key=command.key,
            )
            return (paid, *_balance(state, command.account, command.wallet, "funding"))
        case RecordLiquidation():
            gone = PositionLiquidated(
                account=command.account,
                symbol=command.symbol,
                quantity=command.quantity,
                price=command.price,
                reason=command.reason,
                key=command.key,
            )
            return (gone, *_balance(state, command.account, command.wallet, "liquidation"))
        case RecordHandTrade():
            return (_hand_traded(command),)
        case RecordNotice():
            return (AccountNoted(account=command.account, text=command.text, key=command.key),)
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


def _key(command: AccountCommand) -> str | None:
    match command:
        case RecordBalance() | RecordFunding() | RecordLiquidation() | RecordNotice():
            return command.key
        case RecordHandTrade():
            return _fill_key(command.symbol, command.fill_id)
        case _:
            return None


def _fill_key(symbol: Symbol, fill_id: str) -> str:
    return f"fill/{symbol}/{fill_id}"


def _hand_traded(command: RecordHandTrade) -> HandTraded:
    return HandTraded(
        account=command.account,
        symbol=command.symbol,
        side=command.side,
        quantity=command.quantity,
        price=command.price,
        fee=command.fee,
        fill_id=command.fill_id,
    )


def _balance(
    state: AccountState, account: AccountId, wallet: Decimal | None, reason: str, key: str | None = None
) -> Sequence[BalanceChanged]:
    if wallet is None or wallet == state.wallet:
        return ()
    change = wallet - state.wallet
    return (BalanceChanged(account=account, wallet=wallet, change=change, reason=reason, key=key),)


def evolve(state: AccountState, event: AccountEvent) -> AccountState:
    match event:
        case AccountOpened():
            return replace(state, opened=event, wallet=event.wallet)
        case BalanceChanged():
            return replace(state, wallet=event.wallet, keys=_with(state, event.key))
        case FundingPaid() | PositionLiquidated() | AccountNoted():
            return replace(state, keys=_with(state, event.key))
        case HandTraded():
            return replace(state, keys=_with(state, _fill_key(event.symbol, event.fill_id)))
        case PositionDrifted():
            return replace(state, drifts={**state.drifts, event.symbol: (event.expected, event.held)})
        case _:
            assert_never(event)


def _with(state: AccountState, key: str | None) -> frozenset[str]:
    return state.keys if key is None else state.keys | {key}


ACCOUNT: Decider[AccountCommand, AccountState, AccountEvent] = Decider(
    "account", AccountState(), decide, evolve
)
