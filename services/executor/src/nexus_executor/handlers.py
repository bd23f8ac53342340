"""What the executor does in its turn: hear the venues, take requests, keep every trade as it should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.account import OpenAccount
from nexus_common.contracts.decider import InvariantBroken
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.trade import (
    AbandonEntry,
    ExitReason,
    OrderExit,
    ReportUnprotected,
    WriteOffRest,
)
from nexus_common.contracts.values import AccountId, Service
from nexus_common.runtime.ports import Desk, Turn
from nexus_executor.adoption import Adoption
from nexus_executor.connections import Connections
from nexus_executor.domain import last_hop
from nexus_executor.domain.account import ACCOUNT
from nexus_executor.domain.holding import Holding
from nexus_executor.domain.order import ORDER, OrderStatus
from nexus_executor.domain.protection import wanted
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
from nexus_executor.reconcile import Reconciler
from nexus_executor.requests import Requests
from nexus_executor.timers import Timers
from nexus_executor.updates import Updates
from nexus_executor.venues.access import TurnClock
from nexus_executor.venues.broker import Broker, VenueDown
from nexus_market.quiet import Quiet

PASSES_MAX: Final = 25


def _everything(account: AccountId) -> bool:
    return True


class ExecutorReactor:
    """Turns verdicts into orders and keeps positions protected.

    A turn first writes down all that it heard (venue messages, requests, timers), then compares what each
    touched trade needs with what stands at its venue until nothing is missing. Whatever a turn begins is
    found again from the streams, so a turn that was cut off ends the same when it is taken again.
    """

    service = Service.EXECUTOR
    listens: Mapping[str, int | None] = {
        "session": None,
        "risk": None,
        "guard": None,
        "instrument": None,
        # Adopted positions get a stop made of the last hours' ranges, as far as they are heard again.
        "market": 300,
        "trade": None,
        "order": None,
        "account": None,
    }

    def __init__(
        self,
        brokers: Callable[[AccountSpec], Broker],
        rules: ExecutionRules | None = None,
        owns: Callable[[AccountId], bool] = _everything,
        note: Callable[[str], None] = lambda point: None,
        clock: TurnClock | None = None,
    ) -> None:
        """`clock` is told the time of each turn: brokers sign what they ask with it."""
        self._clock = clock or TurnClock()
        self._rules = rules or ExecutionRules()
        self._owns = owns
        self._view = View()
        self._connections = Connections(self._view, brokers)
        self._fence = Fence(self._view, self._connections, owns, self._rules, note)
        self._adoption = Adoption(self._view, self._connections, self._rules)
        self._updates = Updates(self._view, self._connections, self._adoption, self._rules)
        self._reconciler = Reconciler(
            self._view, self._connections, self._updates, self._adoption, self._rules
        )
        self._requests = Requests(self._view, owns, self._rules, self._connections.traits)
        self._timers = Timers(self._view, owns, self._rules, self._connections.traits)
        # Accounts whose venue did not answer last time: compared as a whole when it does again.
        self._lost: set[AccountId] = set()
        self._has_started = False

    def observe(self, envelope: Envelope[Event]) -> None:
        self._view.observe(envelope)

    async def resume(self, desk: Desk) -> None:
        """Ask the venues about every request whose answer was lost, before anything else is done."""
        await self._fence.settle(None, desk)
        await desk.commit()

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        self._clock.told(turn.at)
        await self._open_accounts(turn.at, desk)
        if self._view.unsettled:
            await self._fence.settle(turn.at, desk)
        answering = await self._pull(self._own_accounts(), desk)
        await self._check(answering, turn.at, desk)
        self._has_started = True
        if batch:
            await self._requests.take(batch, turn.at, desk)
        await self._timers.ring(turn.at, desk)
        for _ in range(PASSES_MAX):
            touched = await self._act(answering, turn.at, desk)
            if not touched:
                return
            await self._pull(touched, desk)
        restless = ", ".join(list(self._view.restless)[:5])
        raise InvariantBroken(
            f"orders do not settle at {turn.at:%Y-%m-%d %H:%M} within {PASSES_MAX} passes; trades {restless}: "
            "their venue answers in a way that always asks for more"
        )

    async def quiet(self, at: datetime, desk: Desk) -> Quiet | None:
        """Until a held trade's time or its break-even price; what its orders do, their venue knows."""
        view = self._view
        if view.restless or view.unsettled or view.proposals or not self._has_started:
            return None
        if any(self._owns(name) and name not in view.opened for name in view.accounts):
            return None
        # The timer of the comparison is none to wake for: a played venue loses nothing.
        if self._lost or any(map(self._reconciler.is_new, self._own_accounts())):
            return None
        return await self._timers.quiet(desk)

    async def reconcile(self, at: datetime, desk: Desk) -> None:
        """Compare every account with its venue, on demand."""
        for account in await self._pull(self._own_accounts(), desk):
            await self._reconciler.reconcile(account, at, desk)

    # -- accounts -----------------------------------------------------------------------------------

    def _own_accounts(self) -> list[AccountId]:
        return sorted(account for account in self._view.opened if self._owns(account))

    async def _open_accounts(self, at: datetime, desk: Desk) -> None:
        for name, account in list(self._view.accounts.items()):
            if name in self._view.opened or not self._owns(name):
                continue
            spec = account.spec
            try:
                wallet = await self._connections.open(name)
            except VenueDown:
                continue
            command = OpenAccount(name, account.user, spec.venue, spec.paper, spec.currency, wallet, at)
            cause = ids.derived(ids.NEXUS, f"account/{name}/open")
            await desk.handle(ACCOUNT, name, command, cause=cause, account=name)

    async def _pull(self, accounts: Sequence[AccountId], desk: Desk) -> list[AccountId]:
        return [account for account in accounts if await self._updates.pull(account, desk)]

    async def _check(self, answering: Sequence[AccountId], at: datetime, desk: Desk) -> None:
        """Ask again where something should have been heard by now, and compare the accounts that are due."""
        back = self._lost & set(answering)
        self._lost = set(self._own_accounts()) - set(answering)
        doubtful = self._fence.take_doubtful()
        overdue = self._view.overdue(at - timedelta(seconds=self._rules.witness_seconds))
        for account in answering:
            is_due = account in back or account in doubtful or self._reconciler.is_due(account, at)
            if is_due:
                done = await self._reconciler.reconcile(account, at, desk)
            elif account in overdue:
                done = await self._witness(account, overdue[account], desk)
            else:
                done = True
            if not done:
                self._lost.add(account)

    async def _witness(self, account: AccountId, since: datetime, desk: Desk) -> bool:
        """The stream of an account may have gone silent: ask for what happened in another way."""
        try:
            await self._reconciler.backfill(account, since - timedelta(minutes=1), desk)
        except VenueDown:
            return False
        return True

    # -- the desired state --------------------------------------------------------------------------

    async def _act(self, accounts: Sequence[AccountId], at: datetime, desk: Desk) -> list[AccountId]:
        """One pass over the trades that something happened to; returns the accounts that were changed."""
        changes: list[Change] = []
        touched: dict[AccountId, None] = {}
        answering = dict.fromkeys(accounts)
        for trade in list(self._view.restless):
            holding = self._view.holdings.get(trade)
            if holding is None or holding.account not in answering:
                continue
            for wish in await self._wanted(holding, at, desk):
                action = self._within_caps(wish, holding.account, at)
                touched[holding.account] = None
                if isinstance(action, Submit | Amend | Cancel):
                    changes.append(action)
                else:
                    await self._decide(holding, action, at, desk)
        if changes:
            await self._fence.send(sorted(changes, key=_urgency), at, desk)
        return sorted(touched)

    def _within_caps(self, action: Action, account: AccountId, at: datetime) -> Action:
        """An order that may open something, and was not counted when its trade was admitted, counts here."""
        if not isinstance(action, Submit) or action.intent.reduce_only or action.intent.close_position:
            return action
        state = self._view.last_hops.get(account, last_hop.LastHop())
        if last_hop.is_awaited(state, action.intent.client_order_id):
            return action
        crowd = last_hop.too_many(state, self._rules, at)
        return action if crowd is None else Abandon(crowd)

    async def _wanted(self, holding: Holding, at: datetime, desk: Desk) -> Sequence[Action]:
        trade: TradeState = await desk.state(TRADE, holding.trade)
        if trade.is_held and (holding.account, holding.symbol) in self._view.gone:
            return ()  # The venue holds nothing there, and nobody knows since when: nothing is sent.
        instrument = self._view.instrument(holding.venue, holding.symbol)
        if instrument is None:
            raise LookupError(f"{holding.symbol} is traded at {holding.venue}, which does not list it")
        orders = [
            Placed(note.order, note.leg, note.started_at, await desk.state(ORDER, note.order))
            for note in holding.orders.values()
        ]
        traits = self._connections.traits(holding.account)
        situation = Situation(
            trade,
            orders,
            instrument,
            traits,
            self._rules,
            at,
            entry_until=holding.valid_until,
            bare_since=holding.bare_since,
        )
        actions = wanted(situation)
        if not actions and _is_at_rest(trade, orders):
            self._view.restless.pop(holding.trade, None)
        return actions

    async def _decide(
        self, holding: Holding, action: Abandon | Fail | Leave | WriteOff, at: datetime, desk: Desk
    ) -> None:
        command: AbandonEntry | ReportUnprotected | OrderExit | WriteOffRest
        match action:
            case Abandon(reason):
                command, purpose = AbandonEntry(reason, at), "abandon"
            case Fail(detail):
                command, purpose = ReportUnprotected(detail, at), "unprotected"
            case Leave(detail):
                command, purpose = OrderExit(ExitReason.STOP, detail, at), "beyond the stop"
            case WriteOff(quantity):
                command, purpose = WriteOffRest(at), "write-off"
                text = f"{quantity:f} {holding.symbol} is too small for any order: written off"
                cause = ids.derived(UUID(holding.trade), "written off")
                await self._adoption.note(holding.account, text, at, cause, desk)
        await desk.handle(
            TRADE,
            holding.trade,
            command,
            cause=ids.derived(UUID(holding.trade), purpose),
            correlation=holding.correlation,
            account=holding.account,
        )


def _urgency(change: Change) -> int:
    """Ways out first, then stops, then what is left over, then targets; new exposure last."""
    match change:
        case Submit(intent, _):
            return _LEGS[intent.leg.value]
        case Amend():
            return 1
        case Cancel():
            return 2


_LEGS = {"exit": 0, "stop": 1, "first_target": 3, "second_target": 3, "trail": 3, "entry": 4}


def _is_at_rest(trade: TradeState, orders: Sequence[Placed]) -> bool:
    """Whether only a new event can make this trade need something; else it is looked at again next turn."""
    if trade.exit is not None and trade.is_held:
        return False
    return not any(o.state.status in (OrderStatus.PENDING, OrderStatus.UNKNOWN) for o in orders)
