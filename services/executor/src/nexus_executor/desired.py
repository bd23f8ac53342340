"""Keeping every trade as it should be: what it needs compared with what stands at its venue, pass by pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.account import RecordNotice
from nexus_common.contracts.order import Leg
from nexus_common.contracts.trade import (
    AbandonEntry,
    ExitReason,
    OrderExit,
    ReportUnprotected,
    WriteOffRest,
)
from nexus_common.contracts.values import AccountId, Symbol
from nexus_common.runtime.ports import Desk
from nexus_executor.adoption import Adoption
from nexus_executor.connections import Connections
from nexus_executor.deciding import decide
from nexus_executor.domain import last_hop
from nexus_executor.domain.account import ACCOUNT
from nexus_executor.domain.holding import Holding
from nexus_executor.domain.ladder_orders import off_the_book
from nexus_executor.domain.order import ORDER, OrderStatus
from nexus_executor.domain.protection import give_up, wanted
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.situation import (
    Abandon,
    Action,
    Amend,
    Cancel,
    Fail,
    Leave,
    Placed,
    Situation,
    Submit,
    WriteOff,
)
from nexus_executor.domain.trade import TRADE, TradeState
from nexus_executor.domain.view import View
from nexus_executor.fence import Change, Fence

_LATER: Final = timedelta(days=1)  # a bar of any timeframe: what a bar may try again is tried again
_LEGS: Final = {
    "exit": 0,
    "stop": 1,
    "first_target": 3,
    "second_target": 3,
    "trail": 3,
    "entry": 4,
    "ladder": 4,
}


class Desired:
    """Looks at the trades that something happened to, sends what they need, and leaves those at rest alone."""

    def __init__(
        self,
        view: View,
        connections: Connections,
        fence: Fence,
        adoption: Adoption,
        rules: ExecutionRules,
        is_surely_gone: Callable[[AccountId, Symbol], bool],
    ) -> None:
        """`is_surely_gone`: the venue held nothing there in comparison after comparison, and told no fill."""
        self._is_surely_gone = is_surely_gone
        self._view = view
        self._connections = connections
        self._fence = fence
        self._adoption = adoption
        self._rules = rules

    async def act(self, accounts: Sequence[AccountId], at: datetime, desk: Desk) -> list[AccountId]:
        """One pass over the trades that something happened to; returns the accounts that were changed."""
        changes: list[Change] = []
        touched: dict[AccountId, None] = {}
        answering = dict.fromkeys(accounts)
        for trade in list(self._view.restless):
            holding = self._view.holdings.get(trade)
            if holding is None or holding.account not in answering:
                continue
            for wish in await self._wanted(holding, at, desk):
                action = self._within_caps(wish, holding.account, changes, at)
                if action is None:
                    continue
                touched[holding.account] = None
                if isinstance(action, Submit | Amend | Cancel):
                    changes.append(action)
                else:
                    await self._decide(holding, action, at, desk)
        if changes:
            await self._fence.send(sorted(changes, key=_urgency), at, desk)
        return sorted(touched)

    async def warn(self, silent: Collection[AccountId], at: datetime, desk: Desk) -> None:
        """Tell owners of positions without a stop that nothing can be done about: their venues do not answer."""
        limit = timedelta(seconds=self._rules.unprotected_max_seconds)
        for name in list(self._view.restless) if silent else ():
            holding = self._view.holdings.get(name)
            if holding is None or holding.account not in silent or holding.bare_since is None:
                continue
            trade: TradeState = await desk.state(TRADE, name)
            if trade.is_held and at - holding.bare_since > limit:
                since = f"{holding.bare_since:%Y-%m-%d %H:%M:%S}"
                text = (
                    f"{holding.symbol}: no confirmed stop since {since}, and {holding.venue} does not answer"
                )
                notice = RecordNotice(holding.account, text, at, key=f"bare/{name}/{since}")
                cause = ids.derived(UUID(name), f"bare/{since}")
                await desk.handle(ACCOUNT, holding.account, notice, cause=cause, account=holding.account)

    def _within_caps(
        self, action: Action, account: AccountId, before: Sequence[Change], at: datetime
    ) -> Action | None:
        """An order that may open something, and was not counted when its trade was admitted, counts here.

        A ladder's waits for its minute: None.
        """
        if not isinstance(action, Submit) or not last_hop.may_open(action.intent):
            return action
        state = self._view.last_hops.get(account, last_hop.LastHop())
        if last_hop.is_awaited(state, action.intent.client_order_id):
            return action
        crowd = last_hop.too_many(state, self._rules, at, _opening(before, account))
        if crowd is None:
            return action
        return None if action.intent.leg is Leg.LADDER else Abandon(crowd)

    async def _wanted(self, holding: Holding, at: datetime, desk: Desk) -> Sequence[Action]:
        trade: TradeState = await desk.state(TRADE, holding.trade)
        place = (holding.account, holding.symbol)
        is_gone = trade.is_held and place in self._view.gone
        instrument = self._view.instrument(holding.venue, holding.symbol)
        if instrument is None:
            raise LookupError(f"{holding.symbol} is traded at {holding.venue}, which does not list it")
        orders = [
            Placed(note.order, note.leg, note.started_at, await desk.state(ORDER, note.order))
            for note in holding.orders.values()
        ]
        now = Situation(
            trade,
            orders,
            instrument,
            self._connections.traits(holding.account),
            self._rules,
            at,
            entry_until=holding.valid_until,
            bare_since=holding.bare_since,
        )
        if is_gone and not (place in self._view.let_go and self._is_surely_gone(*place)):
            # The venue holds nothing there, and nobody knows since when: nothing is sent, and nothing may open.
            return tuple(off_the_book(now, "the venue does not hold what its fills say"))
        if is_gone:
            return tuple(give_up(now))
        actions = wanted(now)
        if not actions and _is_at_rest(now):
            self._view.restless.pop(holding.trade, None)
        return actions

    async def _decide(
        self, holding: Holding, action: Abandon | Fail | Leave | WriteOff, at: datetime, desk: Desk
    ) -> None:
        trade: TradeState = await desk.state(TRADE, holding.trade)
        command: AbandonEntry | ReportUnprotected | OrderExit | WriteOffRest
        match action:
            case Abandon(reason):
                command, purpose = AbandonEntry(reason, at), "abandon"
            case Fail(detail):
                command, purpose = ReportUnprotected(detail, at), "unprotected"
            case Leave(detail):
                command, purpose = OrderExit(ExitReason.STOP, detail, at), "beyond the stop"
            case WriteOff(quantity, why):
                command, purpose = WriteOffRest(at), "write-off"
                text = f"{quantity:f} {holding.symbol} {why}: written off"
                cause = ids.derived(UUID(holding.trade), "written off")
                await self._adoption.note(holding.account, text, at, cause, desk)
        # What had been given up can come to light after all, and be given up again.
        cause = ids.derived(UUID(holding.trade), f"{purpose}/{trade.quantity:f}")
        await decide(holding, command, cause, desk)


def _opening(changes: Sequence[Change], account: AccountId) -> int:
    """How many of them are orders of a ladder that may open something."""
    intents = [change.intent for change in changes if isinstance(change, Submit)]
    return sum(i.account == account and i.rung is not None and last_hop.may_open(i) for i in intents)


def _urgency(change: Change) -> int:
    """Ways out first, then stops, then what is left over, then targets; new exposure last."""
    match change:
        case Submit(intent, _):
            return _LEGS[intent.leg.value]
        case Amend():
            return 1
        case Cancel():
            return 2


def _is_at_rest(now: Situation) -> bool:
    """Whether only a new event can make this trade need something; else it is looked at again next turn."""
    if now.trade.exit is not None and now.trade.is_held:
        return False
    if any(o.state.status in (OrderStatus.PENDING, OrderStatus.UNKNOWN) for o in now.orders):
        return False
    return not wanted(replace(now, at=now.at + _LATER))
