"""What the venue holds against what our fills say: differences become facts, fills are never invented.

Compared after a start, after a connection was lost, and on a timer. A difference may only mean that a message
got lost on its way: the venue is asked for what happened, and only what is different then is one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from nexus_common.contracts import ids
from nexus_common.contracts.account import ReportDrift
from nexus_common.contracts.order import Leg, RecordCanceled
from nexus_common.contracts.values import AccountId, ClientOrderId, Side, Symbol
from nexus_common.runtime.ports import Desk
from nexus_executor.adoption import Adoption
from nexus_executor.connections import Connections
from nexus_executor.domain.account import ACCOUNT, AccountState
from nexus_executor.domain.doubts import Doubts
from nexus_executor.domain.holding import Holding, OrderNote
from nexus_executor.domain.order import ORDER, OrderState, OrderStatus
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade import TRADE, TradeState
from nexus_executor.domain.view import View
from nexus_executor.updates import ATTACHED_LEGS, Updates
from nexus_executor.venues.broker import Broker, VenueDown, VenueOrder, VenuePosition

_ZERO = Decimal(0)
_MARGIN: Final = timedelta(minutes=1)


class Comparison(NamedTuple):
    """Signed quantities of one symbol."""

    symbol: Symbol
    expected: Decimal
    held: Decimal


@dataclass(frozen=True, slots=True)
class Differences:
    """Where the books differ: positions, and orders that should stand and do not."""

    positions: tuple[Comparison, ...]
    vanished: tuple[tuple[Holding, ClientOrderId], ...]
    prices: Mapping[Symbol, Decimal]

    @property
    def any(self) -> bool:
        return bool(self.vanished) or any(each.expected != each.held for each in self.positions)


def compare_positions(
    expected: Mapping[Symbol, Decimal], held: Iterable[VenuePosition], also: Iterable[Symbol] = ()
) -> tuple[Comparison, ...]:
    """Every symbol where the two differ, and those of `also` (reported before) whether they do or not."""
    at_venue = {position.symbol: position.quantity for position in held}
    watched = frozenset(also)
    return tuple(
        Comparison(symbol, expected.get(symbol, _ZERO), at_venue.get(symbol, _ZERO))
        for symbol in sorted({**expected, **at_venue, **dict.fromkeys(watched)})
        if symbol in watched or expected.get(symbol, _ZERO) != at_venue.get(symbol, _ZERO)
    )


def vanished_orders(
    working: Sequence[ClientOrderId], standing: Iterable[VenueOrder]
) -> tuple[ClientOrderId, ...]:
    """Orders that should stand at the venue and do not; a venue can drop a stop without a word."""
    there = frozenset(order.client_order_id for order in standing if order.client_order_id is not None)
    return tuple(order for order in working if order not in there)


class _Gone(NamedTuple):
    """How often a venue held nothing of what our fills say, when that was first and last, and since when a fill
    may be missing: a venue can tell one late."""

    times: int
    first: datetime
    last: datetime
    since: datetime


class Reconciler:
    """Compares accounts with their venues when that is due; a second pass records nothing."""

    def __init__(
        self,
        view: View,
        connections: Connections,
        updates: Updates,
        adoption: Adoption,
        rules: ExecutionRules,
    ) -> None:
        self._view = view
        self._connections = connections
        self._updates = updates
        self._adoption = adoption
        self._rules = rules
        # When each account was last found to be as its venue says, or was made so.
        self._agreed: dict[AccountId, datetime] = {}
        self._gone: dict[tuple[AccountId, Symbol], _Gone] = {}
        # A ladder's resting orders may have filled a moment ago: what differs there, and which of them is gone.
        self._doubts = Doubts(rules.gone_comparisons)

    def is_new(self, account: AccountId) -> bool:
        """Whether this process has not compared the account yet."""
        return account not in self._agreed

    def is_due(self, account: AccountId, at: datetime) -> bool:
        if self._doubts.is_early(account, at):
            return False
        last = self._agreed.get(account)
        if last is None:
            return True
        holds = any(holding.filled_at is not None for holding in self._view.held_by(account))
        seconds = self._rules.reconcile_seconds
        if holds:
            seconds = min(seconds, self._rules.protection_check_seconds)
        return at - last >= timedelta(seconds=seconds)

    def is_surely_gone(self, account: AccountId, symbol: Symbol) -> bool:
        """Whether the venue held nothing there in several comparisons over minutes, and told no fill for it.

        A restart forgets that and looks again.
        """
        known = self._gone.get((account, symbol))
        if known is None or known.times < self._rules.gone_comparisons:
            return False
        return known.last - known.first >= timedelta(seconds=self._rules.gone_after_seconds)

    async def reconcile(self, account: AccountId, at: datetime, desk: Desk) -> bool:
        """To be called when all updates of the account are recorded; False when its venue does not answer."""
        try:
            broker = await self._connections.broker(account)
            if self.is_new(account):
                await self.backfill(account, self._since(account, at), desk)
            found = await self._compare(account, broker, at, desk)
            if found.any:
                await self.backfill(account, self._since(account, at), desk)
                found = await self._compare(account, broker, at, desk)
        except VenueDown:
            return False
        if not await self._report(account, found, at, desk):
            return True  # An order of ours is on its way; looked at again in the next turn.
        self._agreed[account] = at
        return True

    async def backfill(self, account: AccountId, since: datetime, desk: Desk) -> None:
        """Have the venue tell again what happened since then, and record what is new; raises VenueDown."""
        broker = await self._connections.broker(account)
        symbols = sorted({holding.symbol for holding in self._of(account)})
        await broker.backfill(since, symbols)
        if not await self._updates.pull(account, desk):
            raise VenueDown(f"{account} does not answer")

    def _of(self, account: AccountId) -> list[Holding]:
        """Trades whose orders may still do something, those that are over among them."""
        holdings = self._view.holdings.values()
        return [each for each in holdings if each.account == account and each.proposed is None]

    def _since(self, account: AccountId, at: datetime) -> datetime:
        known = self._agreed.get(account)
        if known is not None:
            missing = [gone.since for where, gone in self._gone.items() if where[0] == account]
            return min([known - _MARGIN, *missing])
        seen = self._view.last_seen.get(account, at)
        return min([holding.since for holding in self._of(account)], default=seen) - _MARGIN

    # -- comparing ----------------------------------------------------------------------------------

    async def _compare(self, account: AccountId, broker: Broker, at: datetime, desk: Desk) -> Differences:
        positions, standing = await broker.positions(), await broker.open_orders()
        expected: dict[Symbol, Decimal] = {}
        for holding in self._view.held_by(account):
            trade: TradeState = await desk.state(TRADE, holding.trade)
            if trade.is_held:
                signed = trade.remaining * trade.direction.sign
                expected[holding.symbol] = expected.get(holding.symbol, _ZERO) + signed
        state: AccountState = await desk.state(ACCOUNT, account)
        compared = compare_positions(expected, positions, state.drifts)
        return Differences(
            tuple(each for each in compared if not self._is_crumb(account, each)),
            tuple([each async for each in self._vanished(account, standing, at, desk)]),
            {position.symbol: position.entry_price for position in positions},
        )

    def _is_crumb(self, account: AccountId, each: Comparison) -> bool:
        """A difference that no order could make up for, such as a rest that was written off."""
        instrument = self._view.instrument(self._view.accounts[account].spec.venue, each.symbol)
        difference = abs(each.expected - each.held)
        return instrument is not None and 0 < difference < instrument.min_quantity

    async def _vanished(
        self, account: AccountId, standing: Sequence[VenueOrder], at: datetime, desk: Desk
    ) -> AsyncIterator[tuple[Holding, ClientOrderId]]:
        visible = timedelta(seconds=self._rules.visible_after_seconds)
        for holding in self._of(account):
            attached = {
                (ATTACHED_LEGS.get(order.kind), order.side)
                for order in standing
                if order.attached and order.symbol == holding.symbol
            }
            working: list[ClientOrderId] = []
            for note in holding.orders.values():
                state: OrderState = await desk.state(ORDER, note.order)
                is_working = state.status is OrderStatus.WORKING and state.is_answered
                if is_working and at - note.started_at > visible and not _is_attached(note, state, attached):
                    working.append(note.order)
            for order in vanished_orders(working, standing):
                yield holding, order

    # -- reporting ----------------------------------------------------------------------------------

    async def _report(self, account: AccountId, found: Differences, at: datetime, desk: Desk) -> bool:
        """Make facts of the differences; False when one of them may be gone in a moment."""
        apart = [each for each in found.positions if each.expected != each.held]
        self._doubts.keep(
            account, [*(each.symbol for each in apart), *(order for _, order in found.vanished)]
        )
        turned = {each.symbol for each in apart if each.expected * each.held <= 0}
        surely = [each for each in found.vanished if not self._may_have_filled(*each, turned, at)]
        await self._cancel(surely, account, at, desk)
        complete = len(surely) == len(found.vanished)
        absent = {each.symbol for each in found.positions if each.expected and not each.held}
        for where in [where for where in self._gone if where[0] == account and where[1] not in absent]:
            del self._gone[where]
        for each in found.positions:
            symbol, expected, theirs = each
            is_moving = self._view.is_moving(account, symbol)
            if expected != theirs and (is_moving or self._may_be_filling(account, each, at)):
                complete = False
                continue
            if symbol in absent:
                known = self._gone.get((account, symbol), _Gone(0, at, at, self._since(account, at)))
                self._gone[account, symbol] = known._replace(times=known.times + 1, last=at)
            ours = expected
            # More than ours, in the same direction: somebody made it by hand, and it is taken care of.
            is_surplus = ours * theirs >= 0 and abs(theirs) > abs(ours)
            if is_surplus and await self._adoption.position(
                account, symbol, theirs - ours, found.prices[symbol], at, desk
            ):
                ours = theirs
            await desk.handle(
                ACCOUNT,
                account,
                ReportDrift(account, symbol, ours, theirs, at),
                cause=ids.timer_id(f"reconcile/{account}/{symbol}/{ours}/{theirs}", at),
                account=account,
            )
        return complete

    def _may_be_filling(self, account: AccountId, each: Comparison, at: datetime) -> bool:
        """Whether a resting order of a ladder may have filled a moment ago: then its fill is told soon."""
        if not any(holding.is_ladder for holding in self._view.held_by(account, each.symbol)):
            return False
        return self._doubts.about(account, each.symbol, each, at, self._rules.protection_check_seconds)

    def _may_have_filled(
        self, holding: Holding, order: ClientOrderId, turned: Collection[Symbol], at: datetime
    ) -> bool:
        """Whether a ladder's order that is not there any more may have filled: placed again it would fill twice.

        Its stop goes with a position that is not there any more; another one would be refused.
        """
        leg, seconds = holding.orders[order].leg, self._rules.gone_after_seconds
        if leg is Leg.STOP and holding.symbol in turned:
            seconds = self._rules.protection_check_seconds
        elif leg is not Leg.LADDER:
            return False
        return holding.is_ladder and self._doubts.about(holding.account, order, None, at, seconds)

    @staticmethod
    async def _cancel(
        vanished: Iterable[tuple[Holding, ClientOrderId]], account: AccountId, at: datetime, desk: Desk
    ) -> None:
        """Before positions are looked at: what is not there any more moves none of them."""
        for holding, order in vanished:
            await desk.handle(
                ORDER,
                order,
                RecordCanceled("missing at the venue", at),
                cause=ids.timer_id(f"reconcile/{order}", at),
                correlation=holding.correlation,
                account=account,
            )


def _is_attached(note: OrderNote, state: OrderState, attached: set[tuple[Leg | None, Side]]) -> bool:
    """Whether the position's own stop at the venue, which bears no name, is this order."""
    return (note.leg, note.side) in attached and state.intent is not None and state.intent.close_position
