"""Somebody traded by hand on an account of ours: the venue is right about what is held, so our trades follow.

Fills are taken as they are, never invented. What no trade of ours explains becomes a trade by hand, protected
like any other, and its owner is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.account import RecordHandTrade, RecordNotice
from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.trade import (
    AdoptPosition,
    ExitReason,
    Found,
    OrderExit,
    RecordEntryFill,
    RecordExitFill,
)
from nexus_common.contracts.values import AccountId, Direction, Side, Symbol, TradeId
from nexus_common.runtime.ports import Desk
from nexus_executor.connections import Connections
from nexus_executor.deciding import decide
from nexus_executor.domain.account import ACCOUNT, AccountState
from nexus_executor.domain.adoption import divide, manual_plan, share
from nexus_executor.domain.holding import Holding
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade import TRADE, TradeState
from nexus_executor.domain.view import View
from nexus_market.instruments import floor_quantity

MANUAL = "manual"
_ZERO = Decimal(0)


class HandFill(NamedTuple):
    """A fill that no order of ours explains."""

    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fill_id: str
    at: datetime


class Adoption:
    """Applies trades by hand to ours, and takes over positions that nobody of us made."""

    def __init__(
        self,
        view: View,
        connections: Connections,
        rules: ExecutionRules,
        knows_positions: Callable[[AccountId], bool],
    ) -> None:
        """`knows_positions` says whether an account's fills since it began are all known by now."""
        self._knows_positions = knows_positions
        self._view = view
        self._connections = connections
        self._rules = rules

    async def hand_fill(self, account: AccountId, fill: HandFill, cause: UUID, desk: Desk) -> bool:
        """Record a fill of an order that is not ours, once, with all that follows; False: it was known."""
        if fill.at < self._view.opened[account]:
            return False  # From before we were there; what is left of it is found as a position.
        command = RecordHandTrade(
            account, fill.symbol, fill.side, fill.quantity, fill.price, fill.fee, fill.fill_id, fill.at
        )
        if not await desk.handle(ACCOUNT, account, command, cause=cause, account=account):
            return False
        held = await self._held(account, fill.symbol, desk)
        if not any(_counts_already(holding, fill) for holding, _ in held):
            await self.apply(account, fill, cause, desk)
        return True

    async def apply(self, account: AccountId, fill: HandFill, cause: UUID, desk: Desk) -> None:
        """Reduce what is held against it, add to what is held with it, adopt what is beyond."""
        held = await self._held(account, fill.symbol, desk)
        await self._leave_ladders(account, fill, cause, desk)
        division = divide(fill.side, fill.quantity, [(trade.direction, trade.remaining) for _, trade in held])
        for (holding, _), part in zip(held, division.closes, strict=True):
            if part:
                fee = share(fill.fee, part, fill.quantity)
                closed = RecordExitFill(MANUAL, part, fill.price, fee, fill.at)
                await decide(holding, closed, cause, desk)
        if not division.rest:
            return
        fee = share(fill.fee, division.rest, fill.quantity)
        if division.grows is not None and not held[division.grows][0].is_ladder:
            await self._grow(held[division.grows], division.rest, fee, fill, cause, desk)
        elif self._knows_positions(account):
            # Else it may as well have closed what was opened while nobody listened: the comparison tells.
            direction = Direction.LONG if fill.side is Side.BUY else Direction.SHORT
            rest = fill._replace(quantity=division.rest, fee=fee)
            await self._adopt(account, direction, rest, Found.FILL, cause, desk)

    async def position(
        self, account: AccountId, symbol: Symbol, surplus: Decimal, price: Decimal, at: datetime, desk: Desk
    ) -> bool:
        """Adopt what the venue holds beyond our trades (signed), whose fills nobody can tell any more."""
        side = Side.BUY if surplus > 0 else Side.SELL
        direction = Direction.LONG if surplus > 0 else Direction.SHORT
        cause = ids.timer_id(f"adopt/{account}/{symbol}", at)
        found = HandFill(symbol, side, abs(surplus), price, _ZERO, "", at)
        await self._leave_ladders(account, found, cause, desk)
        return await self._adopt(account, direction, found, Found.POSITION, cause, desk)

    async def note(self, account: AccountId, text: str, at: datetime, cause: UUID, desk: Desk) -> None:
        """Tell the owner of an account something."""
        await desk.handle(ACCOUNT, account, RecordNotice(account, text, at), cause=cause, account=account)

    # -- what follows -------------------------------------------------------------------------------

    async def _leave_ladders(self, account: AccountId, fill: HandFill, cause: UUID, desk: Desk) -> None:
        """Where somebody else trades too, what a ladder holds follows from its own fills no more: it is left."""
        for holding in self._view.held_by(account, fill.symbol):
            if holding.is_ladder:
                command = OrderExit(ExitReason.MANUAL, f"{fill.symbol} was traded by hand", fill.at)
                await decide(holding, command, ids.derived(cause, "ladder"), desk)

    async def _held(
        self, account: AccountId, symbol: Symbol, desk: Desk
    ) -> Sequence[tuple[Holding, TradeState]]:
        found = []
        for holding in self._view.held_by(account, symbol):
            trade: TradeState = await desk.state(TRADE, holding.trade)
            if trade.is_held:
                found.append((holding, trade))
        return found

    async def _grow(
        self,
        held: tuple[Holding, TradeState],
        quantity: Decimal,
        fee: Decimal,
        fill: HandFill,
        cause: UUID,
        desk: Desk,
    ) -> None:
        holding, trade = held
        instrument = self._view.instrument(holding.venue, holding.symbol)
        if instrument is None:
            raise LookupError(f"{holding.symbol} filled at {holding.venue}, which does not list it")
        added = RecordEntryFill(
            quantity, fill.price, fee, trade.entry_complete, instrument, self._rules.targets, fill.at
        )
        await decide(holding, added, cause, desk)

    async def _adopt(
        self,
        account: AccountId,
        direction: Direction,
        fill: HandFill,
        found: Found,
        cause: UUID,
        desk: Desk,
    ) -> bool:
        known = self._view.accounts[account]
        venue = known.spec.venue
        instrument = self._view.instrument(venue, fill.symbol)
        told = ids.derived(cause, "notice")
        what = f"{direction} {fill.quantity:f} {fill.symbol} at {fill.price:f}, opened by hand"
        if instrument is None:
            text = f"{what}: not managed, because {venue} does not list it here"
            await self.note(account, text, fill.at, told, desk)
            return False
        quantity = self._manageable(account, fill.quantity, instrument)
        if quantity < instrument.min_quantity:
            text = f"{what}: not managed, because no stop at {venue} can be so small"
            await self.note(account, text, fill.at, told, desk)
            return False
        age = timedelta(seconds=self._rules.price_age_max_seconds)
        mark = self._view.bars.price(venue, fill.symbol, fill.at, age)
        atr = self._view.bars.mean_true_range(venue, fill.symbol, self._rules.adopted_atr_bars)
        plan, unit = manual_plan(fill.price, atr, self._rules)
        state: AccountState = await desk.state(ACCOUNT, account)
        trade = TradeId(str(ids.derived(cause, "adopted")))
        command = AdoptPosition(
            trade,
            account,
            known.user,
            venue,
            fill.symbol,
            direction,
            quantity,
            fill.price,
            fill.fee,
            mark,
            plan,
            unit,
            state.wallet,
            found,
            instrument,
            self._rules.targets,
            fill.at,
        )
        await desk.handle(TRADE, trade, command, cause=cause, account=account, fresh=True)
        unmanaged = fill.quantity - quantity
        rest = f"; {unmanaged:f} of it cannot be covered and is left alone" if unmanaged else ""
        text = f"{what}: adopted and protected, no entries there until it is closed{rest}"
        await self.note(account, text, fill.at, told, desk)
        return True

    def _manageable(self, account: AccountId, quantity: Decimal, instrument: Instrument) -> Decimal:
        """How much of it orders of the venue can be for: whole shares, whole steps."""
        if self._connections.traits(account).whole_quantity:
            return quantity // 1 * 1
        return floor_quantity(quantity, instrument)


def _counts_already(holding: Holding, fill: HandFill) -> bool:
    """A fill from before its position was found at the venue: it is part of what was adopted."""
    return holding.found is Found.POSITION and fill.at <= holding.since
