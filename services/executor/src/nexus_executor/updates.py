"""A venue's private stream turned into facts: each numbered message once, with all that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar, assert_never
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.account import RecordBalance, RecordFunding, RecordLiquidation
from nexus_common.contracts.decider import AnyDecider, InvariantBroken
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import Leg, RecordCanceled, RecordFill, RecordTriggered
from nexus_common.contracts.trade import NoteFunding, RecordEntryFill, RecordExitFill
from nexus_common.contracts.values import AccountId
from nexus_common.runtime.ports import Desk
from nexus_executor.connections import Connections
from nexus_executor.domain.account import ACCOUNT
from nexus_executor.domain.holding import Holding
from nexus_executor.domain.order import ORDER, OrderState
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade import TRADE, Phase, TradeState
from nexus_executor.domain.view import View
from nexus_executor.venues.broker import UpdateKind, VenueDown, VenueUpdate

LIQUIDATION = "liquidation"
T = TypeVar("T")


def source(account: AccountId) -> str:
    """The name under which an account's handled update number is kept."""
    return f"venue-{account}"


class Updates:
    """Pulls and records; the position read up to is committed with what was recorded from it."""

    def __init__(self, view: View, connections: Connections, rules: ExecutionRules) -> None:
        self._view = view
        self._connections = connections
        self._rules = rules

    async def pull(self, account: AccountId, desk: Desk) -> bool:
        """Record everything new of one account; False when its venue does not answer."""
        try:
            broker = await self._connections.broker(account)
            updates = await broker.updates(desk.handled(source(account)))
        except VenueDown:
            return False
        for update in updates:
            expected = desk.handled(source(account)) + 1
            if update.sequence != expected:
                raise InvariantBroken(
                    f"update {update.sequence} of account {account} came where {expected} was due: "
                    "the venue's private stream has a hole"
                )
            await self._apply(account, update, desk)
            desk.note_handled(source(account), update.sequence)
        return True

    async def _apply(self, account: AccountId, update: VenueUpdate, desk: Desk) -> None:
        match update.kind:
            case UpdateKind.FILL:
                await self._fill(account, update, desk)
            case UpdateKind.CANCELED | UpdateKind.TRIGGERED:
                await self._order_changed(account, update, desk)
            case UpdateKind.BALANCE:
                cause = ids.venue_update_id(account, update.sequence)
                await self._balance(account, update, cause, update.reason or "transfer", desk)
            case UpdateKind.FUNDING:
                await self._funding(account, update, desk)
            case UpdateKind.LIQUIDATION:
                await self._liquidation(account, update, desk)
            case UpdateKind.NOTICE:
                pass
            case _:
                assert_never(update.kind)

    async def _fill(self, account: AccountId, update: VenueUpdate, desk: Desk) -> None:
        fill_id = _given(update.fill_id, update)
        cause = ids.fill_id(account, _given(update.symbol, update), fill_id)
        state = await self._order(update, desk)
        if state is None or state.intent is None:
            # Somebody traded by hand; reconciliation finds what it did to the position.
            await self._balance(account, update, cause, "fill", desk)
            return
        quantity, price = _given(update.quantity, update), _given(update.price, update)
        fee = update.fee or Decimal(0)
        command = RecordFill(
            fill_id,
            quantity,
            price,
            fee,
            _given(update.liquidity, update),
            bool(update.complete),
            update.at,
        )
        intent = state.intent
        holding = self._view.holdings.get(intent.trade_id)
        correlation = holding.correlation if holding else None
        new = await desk.handle(
            ORDER, intent.client_order_id, command, cause=cause, correlation=correlation, account=account
        )
        if not new:
            return
        await self._balance(account, update, cause, "fill", desk)
        follow: RecordEntryFill | RecordExitFill
        if intent.leg is Leg.ENTRY:
            instrument = self._view.instrument(intent.venue, intent.symbol)
            if instrument is None:
                raise LookupError(f"{intent.symbol} filled at {intent.venue}, which does not list it")
            follow = RecordEntryFill(
                quantity,
                price,
                fee,
                _is_complete(new),
                instrument,
                self._rules.targets,
                update.at,
            )
        else:
            follow = RecordExitFill(intent.leg, quantity, price, fee, update.at)
        await desk.handle(
            TRADE, intent.trade_id, follow, cause=cause, correlation=correlation, account=account
        )

    async def _order_changed(self, account: AccountId, update: VenueUpdate, desk: Desk) -> None:
        state = await self._order(update, desk)
        if state is None or state.intent is None:
            return
        command: RecordCanceled | RecordTriggered
        if update.kind is UpdateKind.CANCELED:
            command = RecordCanceled(update.reason or "canceled by the venue", update.at)
        else:
            command = RecordTriggered(_given(update.price, update), update.at)
        holding = self._view.holdings.get(state.intent.trade_id)
        await desk.handle(
            ORDER,
            state.intent.client_order_id,
            command,
            cause=ids.venue_update_id(account, update.sequence),
            correlation=holding.correlation if holding else None,
            account=account,
        )

    async def _order(self, update: VenueUpdate, desk: Desk) -> OrderState | None:
        if update.client_order_id is None:
            return None
        state: OrderState = await desk.state(ORDER, update.client_order_id)
        return state

    async def _balance(
        self, account: AccountId, update: VenueUpdate, cause: UUID, reason: str, desk: Desk
    ) -> None:
        if update.wallet is not None:
            command = RecordBalance(account, update.wallet, reason, update.at)
            await self._decide(ACCOUNT, account, command, cause, account, desk)

    async def _funding(self, account: AccountId, update: VenueUpdate, desk: Desk) -> None:
        cause = ids.venue_update_id(account, update.sequence)
        symbol, amount = _given(update.symbol, update), -_given(update.change, update)
        rate = _given(update.rate, update)
        command = RecordFunding(account, symbol, rate, amount, update.wallet, update.at)
        await self._decide(ACCOUNT, account, command, cause, account, desk)
        for holding in await self._open_on(account, update, desk):
            note = NoteFunding(amount, update.at)
            await self._decide(TRADE, holding.trade, note, cause, account, desk, holding.correlation)
            return  # One-way mode: what is held of an instrument is one position.

    async def _liquidation(self, account: AccountId, update: VenueUpdate, desk: Desk) -> None:
        cause = ids.venue_update_id(account, update.sequence)
        quantity, price = _given(update.quantity, update), _given(update.price, update)
        command = RecordLiquidation(
            account, _given(update.symbol, update), quantity, price, update.wallet, update.at
        )
        await self._decide(ACCOUNT, account, command, cause, account, desk)
        fee = update.fee or Decimal(0)
        for holding in await self._open_on(account, update, desk):
            trade: TradeState = await desk.state(TRADE, holding.trade)
            left = RecordExitFill(LIQUIDATION, trade.remaining, price, fee, update.at)
            await self._decide(TRADE, holding.trade, left, cause, account, desk, holding.correlation)
            fee = Decimal(0)

    async def _open_on(self, account: AccountId, update: VenueUpdate, desk: Desk) -> Sequence[Holding]:
        found = []
        for holding in self._view.held_by(account, update.symbol):
            trade: TradeState = await desk.state(TRADE, holding.trade)
            if trade.phase is Phase.OPEN and trade.is_held:
                found.append(holding)
        return found

    @staticmethod
    async def _decide(
        decider: AnyDecider,
        key: str,
        command: object,
        cause: UUID,
        account: AccountId,
        desk: Desk,
        correlation: UUID | None = None,
    ) -> None:
        await desk.handle(decider, key, command, cause=cause, correlation=correlation, account=account)


def _is_complete(filled: Sequence[Envelope[Event]]) -> bool:
    return bool(getattr(filled[-1].event, "complete", False))


def _given(value: T | None, update: VenueUpdate) -> T:
    if value is None:
        raise InvariantBroken(
            f"update {update.sequence} ({update.kind} at {_when(update.at)}) lacks a figure"
        )
    return value


def _when(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
