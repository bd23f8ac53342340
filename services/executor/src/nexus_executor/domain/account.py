"""What an account holds according to its venue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, assert_never

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

_KEYS_KEPT: Final = 2_000


@dataclass(frozen=True, slots=True)
class AccountState:
    """`drifts` are the differences reported last: signed (expected, held) by symbol.

    `keys` are the venue's messages that were taken already, and `older` the some thousand before them; after a
    restart it may tell them again. Of trades by hand all are kept: one taken twice would be a position.
    """

    opened: AccountOpened | None = None
    wallet: Decimal = Decimal(0)
    drifts: Mapping[Symbol, tuple[Decimal, Decimal]] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()
    older: frozenset[str] = frozenset()
    hand_fills: frozenset[tuple[Symbol, str]] = frozenset()


def decide(command: AccountCommand, state: AccountState) -> Sequence[AccountEvent]:
    if isinstance(command, OpenAccount):
        return () if state.opened is not None else (_opened(command),)
    # Why an account cannot be opened must reach its owner before it is.
    if state.opened is None and not isinstance(command, RecordNotice):
        raise InvariantBroken(f"{type(command).__name__} for account {command.account}, which is not open")
    if _is_known(command, state):
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


def _is_known(command: AccountCommand, state: AccountState) -> bool:
    match command:
        case RecordBalance(key=key) | RecordFunding(key=key) | RecordLiquidation(key=key):
            return key in state.keys or key in state.older
        case RecordNotice(key=key):
            return key in state.keys or key in state.older
        case RecordHandTrade(symbol=symbol, fill_id=fill_id):
            return (symbol, fill_id) in state.hand_fills
        case _:
            return False


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
            return _remember(replace(state, wallet=event.wallet), event.key)
        case FundingPaid() | PositionLiquidated() | AccountNoted():
            return _remember(state, event.key)
        case HandTraded():
            return replace(state, hand_fills=state.hand_fills | {(event.symbol, event.fill_id)})
        case PositionDrifted():
            return replace(state, drifts={**state.drifts, event.symbol: (event.expected, event.held)})
        case _:
            assert_never(event)


def _remember(state: AccountState, key: str | None) -> AccountState:
    if key is None:
        return state
    if len(state.keys) >= _KEYS_KEPT:
        return replace(state, older=state.keys, keys=frozenset({key}))
    return replace(state, keys=state.keys | {key})


ACCOUNT: Decider[AccountCommand, AccountState, AccountEvent] = Decider(
    "account", AccountState(), decide, evolve
)
