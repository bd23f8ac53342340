"""The fence: the one place where a venue is asked to change something.

What is to be sent is written down and committed first; then it is sent, once. Nothing is ever sent again
blindly: what has no outcome is asked for until it has one (see `settling`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, assert_never
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.order import OrderIntentRecorded, RecordIntent, StartAmend, StartCancel
from nexus_common.contracts.values import AccountId
from nexus_common.runtime.ports import Desk
from nexus_executor.connections import Connections
from nexus_executor.domain.holding import Request, Started
from nexus_executor.domain.order import ORDER, OrderState
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.situation import Amend, Cancel, Submit
from nexus_executor.domain.submission import name_of
from nexus_executor.domain.view import View
from nexus_executor.outcomes import Outcomes
from nexus_executor.settling import Settling, request_of
from nexus_executor.venues.broker import Broker, ChangeReply, SubmitReply, Unknown, VenueDown

Change = Submit | Amend | Cancel
_Wanted = tuple[Started, OrderState]


class _Sent(NamedTuple):
    """A request and what came back; without a broker its venue could not be reached at all."""

    started: Started
    state: OrderState
    broker: Broker | None
    reply: SubmitReply | ChangeReply


class Fence:
    """Sends changes for the accounts of one executor, and settles those whose outcome nobody recorded."""

    def __init__(
        self,
        view: View,
        connections: Connections,
        owns: Callable[[AccountId], bool],
        rules: ExecutionRules,
        note: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._view = view
        self._connections = connections
        self._rules = rules
        self._note = note
        self._outcomes = Outcomes(view)
        self._settling = Settling(view, connections, self._outcomes, owns, rules)

    async def send(self, changes: Sequence[Change], at: datetime, desk: Desk) -> None:
        """Write down all of these changes in one commit, then send each account's in this order.

        The commit checks the lease: an executor that lost it sends nothing. Accounts do not wait for one another:
        when all of them leave at once, the last one's way out must not stand behind a thousand requests.
        """
        before = len(self._view.unsettled)
        for change in changes:
            await self._write_down(change, at, desk)
        await desk.commit()
        wanted: dict[AccountId, list[_Wanted]] = {}
        for started in list(self._view.unsettled.values())[before:]:
            self._settling.tried(started, at)
            state: OrderState = await desk.state(ORDER, started.order)
            account = self._view.holder(started.order).account
            if self._connections.is_conclusive(account):
                # An exchange of our own numbers requests as they come: one is settled before the next leaves.
                await self._record(await self._send_in_turn(account, [(started, state)]), at, desk)
            else:
                wanted.setdefault(account, []).append((started, state))
        for sent in await asyncio.gather(*(self._send_in_turn(*each) for each in wanted.items())):
            await self._record(sent, at, desk)

    async def settle(self, at: datetime | None, desk: Desk) -> None:
        """Find the outcome of every request without one. Without a time nothing is sent, only asked."""
        await self._settling.settle(at, desk)

    def take_doubtful(self) -> dict[AccountId, None]:
        """Accounts where the venue and our record of an order disagree; to be compared as a whole."""
        return self._settling.take_doubtful()

    async def _write_down(self, change: Change, at: datetime, desk: Desk) -> None:
        match change:
            case Submit(intent, attempt):
                deadline = at + timedelta(seconds=self._rules.receive_window_seconds)
                await desk.handle(
                    ORDER,
                    intent.client_order_id,
                    RecordIntent(intent, attempt, deadline, at),
                    cause=ids.derived(UUID(intent.trade_id), f"{_name(intent)}/{attempt}"),
                    correlation=self._correlation(intent),
                    account=intent.account,
                    fresh=True,
                )
            case Amend(order, trigger_price, revision, quantity):
                holding = self._view.holder(order)
                await desk.handle(
                    ORDER,
                    order,
                    StartAmend(trigger_price, at, quantity),
                    cause=ids.derived(UUID(holding.trade), f"{order}/amend/{revision}"),
                    correlation=holding.correlation,
                    account=holding.account,
                )
            case Cancel(order, reason):
                holding = self._view.holder(order)
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

    async def _send_in_turn(self, account: AccountId, wanted: Sequence[_Wanted]) -> list[_Sent]:
        """The requests of one account, one after the other; nothing is recorded yet."""
        try:
            broker = await self._connections.broker(account)
        except VenueDown as error:
            return [_Sent(started, state, None, Unknown(str(error))) for started, state in wanted]
        return [
            _Sent(started, state, broker, await self._ask(started, state, broker))
            for started, state in wanted
        ]

    async def _ask(self, started: Started, state: OrderState, broker: Broker) -> SubmitReply | ChangeReply:
        self._note(f"{started.request} of {_leg(state)} leaves")
        if started.request is not Request.SUBMIT:
            return await self._settling.ask_change(started, broker, state)
        reply = await broker.submit(request_of(state), started.at)
        self._note(f"{started.request} of {_leg(state)} answered")
        return reply

    async def _record(self, answered: Sequence[_Sent], at: datetime, desk: Desk) -> None:
        for started, state, broker, reply in answered:
            if broker is None:
                if started.request is Request.SUBMIT:
                    await self._outcomes.of_submit(started, reply, desk)
            elif started.request is not Request.SUBMIT:
                await self._settling.record_change(started, broker, state, reply, at, desk)
            elif isinstance(reply, Unknown):
                await self._settling.ask_after(started, broker, state, reply, at, desk)
            else:
                await self._outcomes.of_submit(started, reply, desk)


def _name(intent: OrderIntentRecorded) -> str:
    return name_of(intent.leg, intent.side, intent.rung)


def _leg(state: OrderState) -> str:
    return "nothing" if state.intent is None else state.intent.leg.value
