"""Finding the outcome of requests that have none: by asking, and where that proves something, by waiting.

Found is found: an order that arrived is adopted at once. Not found proves an absence only where the venue's
answer is conclusive, or when the request can no longer arrive (its receive window and a margin have passed)
and the venue has been asked often enough over long enough. A way out is not left waiting where the same order
can be sent again without becoming two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from nexus_common.contracts.order import Leg
from nexus_common.contracts.values import AccountId
from nexus_common.runtime.ports import Desk
from nexus_executor.connections import Connections
from nexus_executor.domain.holding import Request, Started
from nexus_executor.domain.order import ORDER, Move, OrderState, OrderStatus
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade import TRADE, TradeState
from nexus_executor.domain.view import View
from nexus_executor.outcomes import Outcomes
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    Broker,
    ChangeReply,
    LookupReply,
    OrderRequest,
    Refused,
    Unknown,
    VenueDown,
)

SENDS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class _Absences:
    """At how many moments a venue did not know an order when that counted, and when that was first."""

    times: int
    first: datetime


class Settling:
    """Remembers what was tried and how often it was not found; a restart forgets that and asks again."""

    def __init__(
        self,
        view: View,
        connections: Connections,
        outcomes: Outcomes,
        owns: Callable[[AccountId], bool],
        rules: ExecutionRules,
    ) -> None:
        self._view = view
        self._connections = connections
        self._outcomes = outcomes
        self._owns = owns
        self._rules = rules
        self._tried: dict[UUID, datetime] = {}
        self._absences: dict[UUID, _Absences] = {}
        self._doubtful: dict[AccountId, None] = {}

    def tried(self, started: Started, at: datetime) -> None:
        """A request left at this moment; it is not asked for again before the next one."""
        self._tried[started.event_id] = at

    def take_doubtful(self) -> dict[AccountId, None]:
        doubtful, self._doubtful = self._doubtful, {}
        return doubtful

    async def settle(self, at: datetime | None, desk: Desk) -> None:
        """Ask for the outcome of every request without one, in the order they were written down.

        Without a time (right after a restart, before the first turn) nothing is sent again: only the venue
        is asked. A request this process has tried at this instant already is left for the next one.
        """
        self._forget_settled()
        # Each of them may take a time-out to find out, which others would wait for: once is enough.
        silent: set[AccountId] = set()
        for started in list(self._view.unsettled.values()):
            holding = self._view.trade_of(started.order)
            if holding is None or not self._owns(holding.account) or holding.account in silent:
                continue
            if at is not None and self._tried.get(started.event_id) == at:
                continue
            try:
                broker = await self._connections.broker(holding.account)
            except VenueDown:
                silent.add(holding.account)
                continue
            if at is not None:
                self.tried(started, at)
            state: OrderState = await desk.state(ORDER, started.order)
            if started.request is Request.SUBMIT and broker.conclusive_lookup:
                await self._conclude(started, broker, state, at, desk)
            elif started.request is Request.SUBMIT:
                await self._ask(started, broker, state, at, desk)
            elif at is not None:
                reply = await self.ask_change(started, broker, state)
                await self.record_change(started, broker, state, reply, at, desk)

    def _forget_settled(self) -> None:
        open_ = {started.event_id for started in self._view.unsettled.values()}
        self._tried = {event_id: at for event_id, at in self._tried.items() if event_id in open_}
        self._absences = {event_id: each for event_id, each in self._absences.items() if event_id in open_}

    # -- submissions --------------------------------------------------------------------------------

    async def ask_after(
        self, started: Started, broker: Broker, state: OrderState, lost: Unknown, at: datetime, desk: Desk
    ) -> None:
        """A submission has just come back without an answer."""
        if broker.conclusive_lookup:
            await self._conclude(started, broker, state, at, desk)
        else:
            await self._outcomes.of_submit(started, lost, desk)
            await self._ask(started, broker, state, at, desk)

    async def _conclude(
        self, started: Started, broker: Broker, state: OrderState, at: datetime | None, desk: Desk
    ) -> None:
        """Where a lookup is certain: sent again while its time has not passed, else absent."""
        deadline = self._deadline(started)
        request = request_of(state)
        reply: LookupReply = await broker.lookup(request)
        for _ in range(SENDS_MAX):
            if not isinstance(reply, Absent | Unknown) or at is None or at > deadline:
                break
            if isinstance(reply, Absent):
                sent = await broker.submit(request, started.at)
                reply = sent if not isinstance(sent, Unknown) else await broker.lookup(request)
            else:
                reply = await broker.lookup(request)
        if not isinstance(reply, Absent):
            await self._outcomes.of_submit(started, reply, desk)
        elif at is not None and at > deadline:
            await self._outcomes.absent(started, reply.evidence, desk)

    async def _ask(
        self, started: Started, broker: Broker, state: OrderState, at: datetime | None, desk: Desk
    ) -> None:
        """Where only what is found is certain: never sent again, but for ways out under an id that lasts."""
        reply: LookupReply = await broker.lookup(request_of(state))
        if (
            isinstance(reply, Absent)
            and at is not None
            and broker.traits.ids_are_for_ever
            and await self._still_leads_out(state, desk)
        ):
            reply = await self._send_again(started, broker, request_of(state))
        known: OrderState = await desk.state(ORDER, started.order)
        if isinstance(reply, Refused | Absent) and known.has_traded:
            # What it told of the order proves that it had it, whatever it says now.
            self._doubtful[self._view.holder(started.order).account] = None
            reply = Accepted(known.venue_order_id)
        if isinstance(reply, Accepted | Refused):
            await self._outcomes.of_submit(started, reply, desk)
            return
        if known.status is OrderStatus.PENDING:
            reason = reply.evidence if isinstance(reply, Absent) else reply.reason
            await self._outcomes.of_submit(started, Unknown(reason), desk)
        if isinstance(reply, Absent) and at is not None and self._is_proven(started, at):
            await self._outcomes.absent(started, reply.evidence, desk)

    @staticmethod
    async def _still_leads_out(state: OrderState, desk: Desk) -> bool:
        """Whether it is for no more than is held now: a venue without reduce-only would open the rest."""
        intent = state.intent
        if intent is None or intent.leg in (Leg.ENTRY, Leg.LADDER):
            return False
        trade: TradeState = await desk.state(TRADE, intent.trade_id)
        return intent.quantity <= trade.remaining

    @staticmethod
    async def _send_again(started: Started, broker: Broker, request: OrderRequest) -> LookupReply:
        """The same order once more; what is refused now may have been taken before, so that is asked again."""
        sent = await broker.submit(request, started.at)
        if not isinstance(sent, Refused):
            return sent
        found = await broker.lookup(request)
        return Unknown(f"sent again: {sent.code} {sent.reason}") if isinstance(found, Absent) else found

    def _is_proven(self, started: Started, at: datetime) -> bool:
        """Count this absence; true when it was the last one needed."""
        rules = self._rules
        if at <= self._deadline(started) + timedelta(seconds=rules.absent_margin_seconds):
            return False
        known = self._absences.get(started.event_id, _Absences(0, at))
        counted = _Absences(known.times + 1, known.first)
        self._absences[started.event_id] = counted
        is_long_enough = at - counted.first >= timedelta(seconds=rules.absent_after_seconds)
        return is_long_enough and counted.times >= rules.absent_lookups

    def _deadline(self, started: Started) -> datetime:
        return self._view.holder(started.order).orders[started.order].deadline

    # -- cancels and moves --------------------------------------------------------------------------

    @staticmethod
    async def ask_change(started: Started, broker: Broker, state: OrderState) -> ChangeReply:
        """Cancel or amend. Asking twice for the same is the same as asking once, so Unknown is asked again."""
        request = request_of(state)
        move = state.amending or Move(request.trigger_price or request.quantity)
        reply: ChangeReply = Unknown("")
        for _ in range(SENDS_MAX if broker.conclusive_lookup else 1):
            if started.request is Request.CANCEL:
                reply = await broker.cancel(request)
            else:
                reply = await broker.amend(request, move.trigger_price, move.quantity)
            if not isinstance(reply, Unknown):
                break
        return reply

    async def record_change(
        self,
        started: Started,
        broker: Broker,
        state: OrderState,
        reply: ChangeReply,
        at: datetime,
        desk: Desk,
    ) -> None:
        """What came of a cancel or an amend."""
        if started.request is Request.AMEND:
            await self._outcomes.of_amend(started, state, reply, desk)
        elif isinstance(reply, Refused):
            await self._explain_refused_cancel(started, broker, state, at, desk)

    async def _explain_refused_cancel(
        self, started: Started, broker: Broker, state: OrderState, at: datetime, desk: Desk
    ) -> None:
        """A cancel the venue refuses: filled or canceled meanwhile, which its updates tell, or not there.

        An order that has only just been placed may not be visible yet.
        """
        found = await broker.lookup(request_of(state))
        late = at > self._deadline(started) + timedelta(seconds=self._rules.absent_margin_seconds)
        if isinstance(found, Absent) and (late or broker.conclusive_lookup):
            await self._outcomes.gone(started, found, desk)
        elif not broker.conclusive_lookup:
            self._doubtful[self._view.holder(started.order).account] = None


def request_of(state: OrderState) -> OrderRequest:
    """An order as it goes to its venue."""
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
