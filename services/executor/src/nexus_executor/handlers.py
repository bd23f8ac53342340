"""What the executor does in its turn: hear the venues, take requests, keep every trade as it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from nexus_common.contracts import ids
from nexus_common.contracts.account import OpenAccount, RecordNotice
from nexus_common.contracts.decider import InvariantBroken
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, Service
from nexus_common.runtime.ports import Desk, Turn
from nexus_executor.adoption import Adoption
from nexus_executor.connections import Connections, Unusable
from nexus_executor.desired import Desired
from nexus_executor.domain.account import ACCOUNT
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.view import View
from nexus_executor.fence import Fence
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
        self._adoption = Adoption(self._view, self._connections, self._rules, self._knows_positions)
        self._updates = Updates(self._view, self._connections, self._adoption, self._rules)
        self._reconciler = Reconciler(
            self._view, self._connections, self._updates, self._adoption, self._rules
        )
        self._requests = Requests(self._view, owns, self._rules, self._connections.traits)
        self._timers = Timers(self._view, owns, self._rules, self._connections.traits)
        self._desired = Desired(
            self._view,
            self._connections,
            self._fence,
            self._adoption,
            self._rules,
            self._reconciler.is_surely_gone,
        )
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
        self._view.bars.begin(turn.at)
        await self._open_accounts(turn.at, desk)
        if self._view.unsettled:
            await self._fence.settle(turn.at, desk)
        answering = await self._pull(self._own_accounts(), desk)
        await self._check(answering, turn.at, desk)
        self._has_started = True
        if batch:
            await self._requests.take(batch, turn.at, desk)
        await self._timers.ring(turn.at, desk)
        await self._desired.warn(set(self._own_accounts()) - set(answering), turn.at, desk)
        for _ in range(PASSES_MAX):
            touched = await self._desired.act(answering, turn.at, desk)
            if not touched:
                return
            await self._pull(touched, desk)
        await self._leave_for_later(touched, turn.at, desk)

    async def _leave_for_later(self, accounts: Sequence[AccountId], at: datetime, desk: Desk) -> None:
        """Accounts whose orders do not settle: our own fault at a venue that answers for certain, else its own.

        What a real venue does must not stop the accounts of others; it is tried again next turn.
        """
        trouble = f"orders do not settle within {PASSES_MAX} passes"
        if any(map(self._connections.is_conclusive, accounts)):
            restless = ", ".join(list(self._view.restless)[:5])
            raise InvariantBroken(
                f"{trouble} at {at:%Y-%m-%d %H:%M}; trades {restless}: what is wanted always asks for more"
            )
        for account in accounts:
            cause = ids.timer_id(f"unsettled/{account}", at)
            notice = RecordNotice(
                account, f"{trouble}; they are tried again", at, key=f"unsettled/{at:%Y-%m-%dT%H}"
            )
            await desk.handle(ACCOUNT, account, notice, cause=cause, account=account)

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

    def _knows_positions(self, account: AccountId) -> bool:
        return self._connections.is_conclusive(account) or not self._reconciler.is_new(account)

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
            except Unusable as error:
                cause = ids.derived(ids.NEXUS, f"account/{name}/unusable/{error}")
                notice = RecordNotice(name, f"not traded: {error}", at, key=str(error))
                await desk.handle(ACCOUNT, name, notice, cause=cause, account=name)
                continue
            except VenueDown:
                continue
            command = OpenAccount(name, account.user, spec.venue, spec.paper, spec.currency, wallet, at)
            cause = ids.derived(ids.NEXUS, f"account/{name}/open")
            await desk.handle(ACCOUNT, name, command, cause=cause, account=name)

    async def _pull(self, accounts: Sequence[AccountId], desk: Desk) -> list[AccountId]:
        """Those that answered. All are asked at once: a venue that is slow holds up nobody else."""
        if len(accounts) == 1:  # as in most played markets, which spares a task
            return [account for account in accounts if await self._updates.pull(account, desk)]
        asked = [self._updates.hear(account, desk) for account in accounts]
        heard = await asyncio.gather(*asked, return_exceptions=True)
        answering = []
        for account, updates in zip(accounts, heard, strict=True):
            if isinstance(updates, BaseException) and not isinstance(updates, VenueDown):
                raise updates
            if await self._updates.record(account, updates, desk):
                answering.append(account)
        return answering

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
