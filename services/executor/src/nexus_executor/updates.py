"""A venue's private stream turned into facts: each numbered message once, with all that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final, TypeVar, assert_never
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.account import RecordBalance, RecordFunding, RecordLiquidation, RecordNotice
from nexus_common.contracts.decider import AnyDecider, InvariantBroken
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import (
    Leg,
    Liquidity,
    OrderIntentRecorded,
    OrderKind,
    RecordCanceled,
    RecordFill,
    RecordTriggered,
)
from nexus_common.contracts.trade import NoteFunding, RecordEntryFill, RecordExitFill, RecordLadderFill
from nexus_common.contracts.values import AccountId, ClientOrderId
from nexus_common.runtime.ports import Desk
from nexus_executor.adoption import Adoption, HandFill
from nexus_executor.connections import Connections, Unusable
from nexus_executor.domain.account import ACCOUNT, AccountState
from nexus_executor.domain.adoption import share
from nexus_executor.domain.holding import Holding
from nexus_executor.domain.order import ORDER, OrderState
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade import TRADE, Phase, TradeState
from nexus_executor.domain.view import View
from nexus_executor.venues.broker import UpdateKind, VenueDown, VenueUpdate

LIQUIDATION: Final = "liquidation"
# The position's own stops, and the legs they are.
ATTACHED_LEGS: Final = {OrderKind.STOP: Leg.STOP, OrderKind.TRAILING_STOP: Leg.TRAIL}
T = TypeVar("T")


def source(account: AccountId) -> str:
    """The name under which an account's handled update number is kept."""
    return f"venue-{account}"


class Updates:
    """Pulls and records; the position read up to is committed with what was recorded from it."""

    def __init__(
        self, view: View, connections: Connections, adoption: Adoption, rules: ExecutionRules
    ) -> None:
        self._view = view
        self._connections = connections
        self._adoption = adoption
        self._rules = rules

    async def pull(self, account: AccountId, desk: Desk) -> bool:
        """Record everything new of one account; False when its venue does not answer."""
        return await self.record(account, await self.hear(account, desk), desk)

    async def hear(self, account: AccountId, desk: Desk) -> Sequence[VenueUpdate] | VenueDown:
        """Ask a venue for what is new; nothing is recorded, so several can be asked at once."""
        return await self._connections.hear(account, desk.handled(source(account)))

    async def record(
        self, account: AccountId, updates: Sequence[VenueUpdate] | VenueDown, desk: Desk
    ) -> bool:
        """Record what was heard; False when there was no answer."""
        if isinstance(updates, Unusable):
            cause = ids.derived(ids.NEXUS, f"account/{account}/unusable/{updates}")
            seen = self._view.last_seen[account]  # No turn's time is known here.
            notice = RecordNotice(account, f"not traded: {updates}", seen, key=str(updates))
            await self._decide(ACCOUNT, account, notice, cause, account, desk)
        if isinstance(updates, VenueDown):
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
                cause = ids.venue_update_id(account, update.sequence)
                command = RecordNotice(account, _given(update.reason, update), update.at, update.key)
                await self._decide(ACCOUNT, account, command, cause, account, desk)
            case _:
                assert_never(update.kind)

    # -- orders -------------------------------------------------------------------------------------

    async def _fill(self, account: AccountId, update: VenueUpdate, desk: Desk) -> None:
        fill_id = _given(update.fill_id, update)
        cause = ids.fill_id(account, _given(update.symbol, update), fill_id)
        state = await self._order(account, update, desk)
        if state is None or state.intent is None:
            await self._hand_fill(account, update, fill_id, cause, desk)
            return
        intent = state.intent
        known: AccountState = await desk.state(ACCOUNT, account)
        if (intent.symbol, fill_id) in known.hand_fills:
            return  # Told before without its order's name, or as more than that order could be filled.
        quantity, price = _given(update.quantity, update), _given(update.price, update)
        fee = update.fee or Decimal(0)
        if state.would_exceed(fill_id, quantity):
            # More than was ordered: the venue's figures, and a position all the same.
            told = replace(update, side=intent.side, symbol=intent.symbol)
            await self._hand_fill(account, told, fill_id, cause, desk)
            return
        # A venue that does not say who made the market charges the same for both.
        liquidity = update.liquidity or Liquidity.TAKER
        command = RecordFill(fill_id, quantity, price, fee, liquidity, bool(update.complete), update.at)
        holding = self._view.holdings.get(intent.trade_id)
        correlation = holding.correlation if holding else None
        new = await desk.handle(
            ORDER, intent.client_order_id, command, cause=cause, correlation=correlation, account=account
        )
        if not new:
            return
        await self._balance(account, update, cause, "fill", desk)
        trade: TradeState = await desk.state(TRADE, intent.trade_id)
        fill = HandFill(intent.symbol, intent.side, quantity, price, fee, fill_id, update.at)
        follow: RecordEntryFill | RecordLadderFill | RecordExitFill
        if intent.leg is Leg.ENTRY:
            if trade.phase is Phase.CLOSED:
                await self._adoption.apply(account, fill, cause, desk)
                return
            follow = self._entered(intent, fill, complete=_is_complete(new))
        elif intent.rung is not None:
            if trade.phase not in (Phase.ADMITTED, Phase.OPEN):
                await self._adoption.apply(account, fill, cause, desk)
                return
            follow = RecordLadderFill(intent.rung, intent.side, quantity, price, fee, update.at)
        else:
            part = min(quantity, trade.remaining) if intent.side is trade.direction.exit_side else Decimal(0)
            if part < quantity:
                # Two exits got through where the venue knows no reduce-only: the rest is a position.
                beyond = fill._replace(quantity=quantity - part, fee=share(fee, quantity - part, quantity))
                await self._adoption.apply(account, beyond, ids.derived(cause, "beyond"), desk)
            if not part:
                return
            follow = RecordExitFill(intent.leg, part, price, share(fee, part, quantity), update.at)
        await self._decide(TRADE, intent.trade_id, follow, cause, account, desk, correlation)

    def _entered(self, intent: OrderIntentRecorded, fill: HandFill, *, complete: bool) -> RecordEntryFill:
        instrument = self._view.instrument(intent.venue, intent.symbol)
        if instrument is None:
            raise LookupError(f"{intent.symbol} filled at {intent.venue}, which does not list it")
        return RecordEntryFill(
            fill.quantity, fill.price, fill.fee, complete, instrument, self._rules.targets, fill.at
        )

    async def _hand_fill(
        self, account: AccountId, update: VenueUpdate, fill_id: str, cause: UUID, desk: Desk
    ) -> None:
        """Somebody traded without us."""
        fill = HandFill(
            _given(update.symbol, update),
            _given(update.side, update),
            _given(update.quantity, update),
            _given(update.price, update),
            update.fee or Decimal(0),
            fill_id,
            update.at,
        )
        if await self._adoption.hand_fill(account, fill, cause, desk):
            await self._balance(account, update, ids.derived(cause, "balance"), "fill", desk)

    async def _order_changed(self, account: AccountId, update: VenueUpdate, desk: Desk) -> None:
        state = await self._order(account, update, desk)
        if state is None or state.intent is None:
            return
        command: RecordCanceled | RecordTriggered
        if update.kind is UpdateKind.CANCELED:
            command = RecordCanceled(update.reason or "canceled by the venue", update.at)
        else:
            command = RecordTriggered(_given(update.price, update), update.at)
        holding = self._view.holdings.get(state.intent.trade_id)
        await self._decide(
            ORDER,
            state.intent.client_order_id,
            command,
            ids.venue_update_id(account, update.sequence),
            account,
            desk,
            holding.correlation if holding else None,
        )

    async def _order(self, account: AccountId, update: VenueUpdate, desk: Desk) -> OrderState | None:
        order = update.client_order_id
        if order is None and update.symbol is not None and update.fill_id is not None:
            order = self._view.fills.get((account, update.symbol, update.fill_id))
        if order is None and update.attached is not None:
            order = await self._attached(account, update, ATTACHED_LEGS.get(update.attached), desk)
        if order is None:
            return None
        state: OrderState = await desk.state(ORDER, order)
        return state

    async def _attached(
        self, account: AccountId, update: VenueUpdate, leg: Leg | None, desk: Desk
    ) -> ClientOrderId | None:
        """The newest order that is the position's own stop, which bears no name at the venue."""
        newest: ClientOrderId | None = None
        for holding in self._view.held_by(account, update.symbol):
            for note in holding.orders.values():
                state: OrderState = await desk.state(ORDER, note.order)
                is_whole = state.intent is not None and state.intent.close_position
                is_it = note.leg is leg and update.side in (None, note.side)
                if is_it and is_whole and not state.status.has_ended:
                    newest = note.order
        return newest

    # -- the account --------------------------------------------------------------------------------

    async def _balance(
        self, account: AccountId, update: VenueUpdate, cause: UUID, reason: str, desk: Desk
    ) -> None:
        if update.wallet is not None:
            key = update.key if update.kind is UpdateKind.BALANCE else None
            command = RecordBalance(account, update.wallet, reason, update.at, key)
            await self._decide(ACCOUNT, account, command, cause, account, desk)

    async def _funding(self, account: AccountId, update: VenueUpdate, desk: Desk) -> None:
        cause = ids.venue_update_id(account, update.sequence)
        symbol, amount = _given(update.symbol, update), -_given(update.change, update)
        command = RecordFunding(account, symbol, update.rate, amount, update.wallet, update.at, update.key)
        if not await self._decide(ACCOUNT, account, command, cause, account, desk):
            return
        for holding in await self._open_on(account, update, desk):
            note = NoteFunding(amount, update.at)
            await self._decide(TRADE, holding.trade, note, cause, account, desk, holding.correlation)
            return  # One-way mode: what is held of an instrument is one position.

    async def _liquidation(self, account: AccountId, update: VenueUpdate, desk: Desk) -> None:
        """The venue closed a position, or a part of it; our trades end with its figures."""
        cause = ids.venue_update_id(account, update.sequence)
        quantity, price = _given(update.quantity, update), _given(update.price, update)
        reason = update.reason or LIQUIDATION
        command = RecordLiquidation(
            account,
            _given(update.symbol, update),
            quantity,
            price,
            update.wallet,
            update.at,
            reason,
            update.key,
        )
        if not await self._decide(ACCOUNT, account, command, cause, account, desk):
            return
        left, fee = quantity, update.fee or Decimal(0)
        for holding in await self._open_on(account, update, desk):
            trade: TradeState = await desk.state(TRADE, holding.trade)
            part = min(left, trade.remaining)
            if part:
                gone = RecordExitFill(reason, part, price, share(fee, part, quantity), update.at)
                await self._decide(TRADE, holding.trade, gone, cause, account, desk, holding.correlation)
                left -= part

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
    ) -> Sequence[Envelope[Event]]:
        return await desk.handle(decider, key, command, cause=cause, correlation=correlation, account=account)


def _is_complete(filled: Sequence[Envelope[Event]]) -> bool:
    return bool(getattr(filled[-1].event, "complete", False))


def _given(value: T | None, update: VenueUpdate) -> T:
    if value is None:
        when = update.at.isoformat(timespec="seconds")
        raise InvariantBroken(f"update {update.sequence} ({update.kind} at {when}) lacks a figure")
    return value
