"""The fence: the one place where a venue is asked to change something.

What is to be sent is written down and committed first; what came back is recorded under a cause made of the
written-down request. So whoever finds the answer (this process, or the next one after a kill, by asking the
venue) records the very same event. Nothing is ever sent again blindly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_never
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.order import (
    OrderIntentRecorded,
    Outcome,
    RecordAmended,
    RecordAmendRefused,
    RecordCanceled,
    RecordIntent,
    RecordReply,
    ResolveSubmit,
    StartAmend,
    StartCancel,
)
from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, ClientOrderId
from nexus_common.runtime.ports import Desk
from nexus_executor.domain.holding import Holding, Request, Started
from nexus_executor.domain.order import ORDER, Move, OrderState
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.situation import Amend, Cancel, Submit
from nexus_executor.domain.traits import VenueTraits
from nexus_executor.domain.view import View
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    Broker,
    ChangeReply,
    Fenced,
    LookupReply,
    OrderRequest,
    Refused,
    SubmitReply,
    Unknown,
    VenueDown,
)

SENDS_MAX = 3
Change = Submit | Amend | Cancel


class Fence:
    """Sends changes for the accounts of one executor, and settles those whose outcome nobody recorded."""

    def __init__(
        self,
        view: View,
        brokers: Callable[[AccountSpec], Broker],
        owns: Callable[[AccountId], bool],
        rules: ExecutionRules,
        note: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._view = view
        self._note = note
        self._make_broker = brokers
        self._owns = owns
        self._rules = rules
        self._brokers: dict[AccountId, Broker] = {}
        # Made, but not answering so far.
        self._unopened: dict[AccountId, Broker] = {}
        # When this process last sent or asked; a restart forgets it and asks again, which changes nothing.
        self._tried: dict[UUID, datetime] = {}
        self._absences: dict[UUID, int] = {}

    async def broker(self, account: AccountId) -> Broker:
        """The connected broker of an account; raises VenueDown."""
        if account not in self._brokers:
            await self.open(account)
        return self._brokers[account]

    async def open(self, account: AccountId) -> Decimal:
        """Connect an account; returns its wallet as its venue states it then. Raises VenueDown."""
        spec = self._view.accounts[account].spec
        broker = self._brokers.get(account) or self._made(account)
        wallet = await broker.open(spec.currency, spec.balance)
        self._brokers[account] = broker
        self._unopened.pop(account, None)
        return wallet

    def traits(self, account: AccountId) -> VenueTraits:
        """What an account's venue can do, whether it answers or not."""
        return (self._brokers.get(account) or self._made(account)).traits

    def _made(self, account: AccountId) -> Broker:
        if account not in self._unopened:
            self._unopened[account] = self._make_broker(self._view.accounts[account].spec)
        return self._unopened[account]

    async def send(self, changes: Sequence[Change], at: datetime, desk: Desk) -> None:
        """Write down all of these changes in one commit, then send them in this order."""
        before = len(self._view.unsettled)
        for change in changes:
            await self._write_down(change, at, desk)
        await desk.commit()
        for started in list(self._view.unsettled.values())[before:]:
            await self._attempt(started, at, desk)

    async def _write_down(self, change: Change, at: datetime, desk: Desk) -> None:
        match change:
            case Submit(intent, attempt):
                deadline = at + timedelta(seconds=self._rules.receive_window_seconds)
                await desk.handle(
                    ORDER,
                    intent.client_order_id,
                    RecordIntent(intent, attempt, deadline, at),
                    cause=ids.derived(UUID(intent.trade_id), f"{intent.leg}/{attempt}"),
                    correlation=self._correlation(intent),
                    account=intent.account,
                    fresh=True,
                )
            case Amend(order, trigger_price, revision, quantity):
                holding = self._holding(order)
                await desk.handle(
                    ORDER,
                    order,
                    StartAmend(trigger_price, at, quantity),
                    cause=ids.derived(UUID(holding.trade), f"{order}/amend/{revision}"),
                    correlation=holding.correlation,
                    account=holding.account,
                )
            case Cancel(order, reason):
                holding = self._holding(order)
                await desk.handle(
                    ORDER,
                    order,
                    StartCancel(reason, at),
                    cause=ids.derived(UUID(holding.trade), f"{order}/cancel"),
                    correlation=holding.correlation,
                    account=holding.account,
                )
            case _:
                assert_never(change)

    def _correlation(self, intent: OrderIntentRecorded) -> UUID:
        return self._view.holdings[intent.trade_id].correlation

    def _holding(self, order: ClientOrderId) -> Holding:
        holding = self._view.trade_of(order)
        if holding is None:
            raise LookupError(f"order {order} belongs to no trade in hand; its intent was never observed")
        return holding

    # -- sending for the first time -----------------------------------------------------------------

    async def _attempt(self, started: Started, at: datetime, desk: Desk) -> None:
        holding = self._holding(started.order)
        state: OrderState = await desk.state(ORDER, started.order)
        self._tried[started.event_id] = at
        try:
            broker = await self.broker(holding.account)
        except VenueDown as error:
            if started.request is Request.SUBMIT:
                await self._record(started, Unknown(str(error)), desk)
            return
        self._note(f"{started.request} of {_leg(state)} leaves")
        if started.request is Request.SUBMIT:
            reply: SubmitReply = await broker.submit(_request(state), started.at)
            self._note(f"{started.request} of {_leg(state)} answered")
            if isinstance(reply, Unknown) and broker.conclusive_lookup:
                await self._settle_submit(started, broker, state, at, desk)
            else:
                await self._record(started, reply, desk)
        else:
            await self._change(started, broker, state, desk)

    async def _change(self, started: Started, broker: Broker, state: OrderState, desk: Desk) -> None:
        """Cancel or amend. Asking twice for the same is the same as asking once, so Unknown is asked again."""
        request = _request(state)
        move = state.amending or Move(request.trigger_price or request.quantity)
        reply: ChangeReply = Unknown("")
        for _ in range(SENDS_MAX):
            if started.request is Request.CANCEL:
                reply = await broker.cancel(request)
            else:
                reply = await broker.amend(request, move.trigger_price, move.quantity)
            if not isinstance(reply, Unknown):
                break
        if started.request is Request.AMEND:
            await self._record_amend(started, state, reply, desk)
        elif isinstance(reply, Refused):
            await self._explain_refused_cancel(started, broker, state, desk)

    async def _record_amend(
        self, started: Started, state: OrderState, reply: ChangeReply, desk: Desk
    ) -> None:
        command: RecordAmended | RecordAmendRefused
        match reply:
            case Accepted():
                command = RecordAmended(state.revision, started.at)
            case Refused("fenced", reason):
                raise Fenced(reason)
            case Refused(code, reason):
                command = RecordAmendRefused(state.revision, code, reason, started.at)
            case Unknown():
                return
            case _:
                assert_never(reply)
        await self._decide(started, command, ids.reply_id(started.event_id), desk)

    async def _explain_refused_cancel(
        self, started: Started, broker: Broker, state: OrderState, desk: Desk
    ) -> None:
        """A cancel the venue refuses: filled or canceled meanwhile, which its updates tell, or not there."""
        if not broker.conclusive_lookup:
            return
        found = await broker.lookup(_request(state))
        if isinstance(found, Absent):
            command = RecordCanceled(f"not at the venue: {found.evidence}", started.at)
            await self._decide(started, command, ids.reply_id(started.event_id), desk)

    # -- settling what was left open ----------------------------------------------------------------

    async def settle(self, at: datetime | None, desk: Desk) -> None:
        """Find the outcome of every request without one, in the order they were written down.

        Without a time (right after a restart, before the first turn) nothing is sent again: only the venue
        is asked. A request this process has tried at this instant already is left for the next one.
        """
        for started in list(self._view.unsettled.values()):
            holding = self._view.trade_of(started.order)
            if holding is None or not self._owns(holding.account):
                continue
            if at is not None and self._tried.get(started.event_id) == at:
                continue
            try:
                broker = await self.broker(holding.account)
            except VenueDown:
                continue
            state: OrderState = await desk.state(ORDER, started.order)
            if started.request is Request.SUBMIT:
                await self._settle_submit(started, broker, state, at, desk)
            elif at is not None:
                self._tried[started.event_id] = at
                await self._change(started, broker, state, desk)

    async def _settle_submit(
        self, started: Started, broker: Broker, state: OrderState, at: datetime | None, desk: Desk
    ) -> None:
        note = self._holding(started.order).orders[started.order]
        conclusive = broker.conclusive_lookup
        if not conclusive and at is not None and at <= note.deadline:
            return
        if at is not None:
            self._tried[started.event_id] = at
        request = _request(state)
        reply: LookupReply = await broker.lookup(request)
        for _ in range(SENDS_MAX):
            if not isinstance(reply, Absent | Unknown) or not conclusive or at is None or at > note.deadline:
                break
            if isinstance(reply, Absent):
                sent = await broker.submit(request, started.at)
                reply = sent if not isinstance(sent, Unknown) else await broker.lookup(request)
            else:
                reply = await broker.lookup(request)
        if isinstance(reply, Absent):
            await self._prove_absent(started, reply, conclusive, note.deadline, at, desk)
        else:
            await self._record(started, reply, desk)

    async def _prove_absent(
        self,
        started: Started,
        absent: Absent,
        conclusive: bool,
        deadline: datetime,
        at: datetime | None,
        desk: Desk,
    ) -> None:
        """Not there: for certain where a lookup is conclusive, else only late enough and often enough."""
        if at is None or at <= deadline:
            return
        times = self._absences.get(started.event_id, 0) + 1
        self._absences[started.event_id] = times
        patience = timedelta(seconds=self._rules.absent_after_seconds)
        if not conclusive and (times < self._rules.absent_lookups or at < deadline + patience):
            await self._record(started, Unknown(absent.evidence), desk)
            return
        command = ResolveSubmit(Outcome.ABSENT, started.at, evidence=absent.evidence)
        await self._decide(started, command, ids.reply_id(started.event_id, "resolution"), desk)

    async def _record(self, started: Started, reply: Accepted | Refused | Unknown, desk: Desk) -> None:
        match reply:
            case Accepted(venue_order_id):
                command = RecordReply(Outcome.ACCEPTED, started.at, venue_order_id=venue_order_id)
            case Refused("fenced", reason):
                raise Fenced(reason)
            case Refused(code, reason):
                command = RecordReply(Outcome.REFUSED, started.at, code=code, reason=reason)
            case Unknown(reason):
                command = RecordReply(Outcome.UNKNOWN, started.at, reason=reason)
                await self._decide(started, command, ids.reply_id(started.event_id, "unknown"), desk)
                return
            case _:
                assert_never(reply)
        await self._decide(started, command, ids.reply_id(started.event_id), desk)

    async def _decide(self, started: Started, command: object, cause: UUID, desk: Desk) -> None:
        holding = self._holding(started.order)
        await desk.handle(
            ORDER,
            started.order,
            command,
            cause=cause,
            correlation=holding.correlation,
            account=holding.account,
        )
        if (started.request, started.order) not in self._view.unsettled:
            self._tried.pop(started.event_id, None)
            self._absences.pop(started.event_id, None)


def _leg(state: OrderState) -> str:
    return "nothing" if state.intent is None else state.intent.leg.value


def _request(state: OrderState) -> OrderRequest:
    intent = state.intent
    if intent is None:
        raise LookupError("an order without an intent cannot be sent; its stream is not whole")
    return OrderRequest(
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        side=intent.side,
        kind=intent.kind,
        quantity=intent.quantity,
        limit_price=intent.limit_price,
        trigger_price=intent.trigger_price,
        trail_distance=intent.trail_distance,
        trail_rate=intent.trail_rate,
        reduce_only=intent.reduce_only,
        close_position=intent.close_position,
        leverage=intent.leverage,
    )
