"""What others ask of the executor: verdicts, exits, answers to proposals, closing by hand, the kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.guard import AmberRaised, BlackSwanDeclared
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import EntryApproved, ExitApproved
from nexus_common.contracts.session import CloseRequested, KillRequested, ProposalAnswered
from nexus_common.contracts.trade import (
    AnswerProposal,
    ConsiderVerdict,
    ExitReason,
    ExpireProposal,
    OrderExit,
    TightenTrail,
    TradeCommand,
)
from nexus_common.contracts.values import AccountId, Direction, Mode, Origin, Profile, TradeId, UserId
from nexus_common.runtime.ports import Desk
from nexus_executor.deciding import decide
from nexus_executor.domain import last_hop
from nexus_executor.domain.figures import plain
from nexus_executor.domain.holding import Holding, Session
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade import TRADE, TradeState
from nexus_executor.domain.traits import VenueTraits
from nexus_executor.domain.view import View
from nexus_market.instruments import round_price


class Requests:
    """Turns each request of a batch into commands to the trades it concerns.

    Order: what people want, the sentinel, exits, entries; so that nothing is entered in the very turn in
    which it would have to be left again.
    """

    def __init__(
        self,
        view: View,
        owns: Callable[[AccountId], bool],
        rules: ExecutionRules,
        traits: Callable[[AccountId], VenueTraits],
    ) -> None:
        self._traits = traits
        self._view = view
        self._owns = owns
        self._rules = rules

    async def take(self, batch: Sequence[Envelope[Event]], at: datetime, desk: Desk) -> None:
        for envelope in batch:
            await self._session(envelope, at, desk)
        for envelope in batch:
            await self._guard(envelope, at, desk)
        for envelope in batch:
            if isinstance(envelope.event, ExitApproved):
                await self._exit_approved(envelope, envelope.event, at, desk)
        for index, envelope in enumerate(batch):
            if isinstance(envelope.event, EntryApproved):
                await self._entry_approved(envelope, envelope.event, batch[index + 1 :], at, desk)

    # -- people -------------------------------------------------------------------------------------

    async def _session(self, envelope: Envelope[Event], at: datetime, desk: Desk) -> None:
        match envelope.event:
            case CloseRequested(user=user, account=account, symbol=symbol):
                if not self._is_his(account, user):
                    return
                for holding in self._view.held_by(account, symbol):
                    command = OrderExit(ExitReason.MANUAL, f"closed by {user}", at)
                    await decide(holding, command, envelope.event_id, desk)
            case KillRequested(user=user):
                await self._kill(user, envelope, at, desk)
            case ProposalAnswered():
                await self._answer(envelope.event, envelope, at, desk)
            case _:
                return

    def _is_his(self, account: AccountId, user: UserId) -> bool:
        known = self._view.accounts.get(account)
        return known is not None and known.user == user and self._owns(account)

    async def _kill(self, user: UserId, envelope: Envelope[Event], at: datetime, desk: Desk) -> None:
        for account in sorted(self._view.accounts):
            if not self._is_his(account, user):
                continue
            for holding in self._proposed_on(account):
                await decide(holding, ExpireProposal("killed", at), envelope.event_id, desk)
            for holding in self._view.held_by(account):
                command = OrderExit(ExitReason.KILL, f"killed by {user}", at)
                await decide(holding, command, envelope.event_id, desk)

    def _proposed_on(self, account: AccountId) -> list[Holding]:
        known = [self._view.holdings[trade] for trade in self._view.proposals]
        return [holding for holding in known if holding.account == account]

    async def _answer(
        self, event: ProposalAnswered, envelope: Envelope[Event], at: datetime, desk: Desk
    ) -> None:
        holding = self._view.holdings.get(event.trade_id)
        verdict = self._view.verdicts.get(event.trade_id)
        if holding is None or verdict is None or not self._is_his(holding.account, event.user):
            return
        age = timedelta(seconds=self._rules.price_age_max_seconds)
        price = self._view.bars.price(holding.venue, holding.symbol, at, age)
        refusal = self._refusal(verdict, holding.account, at) if event.approved else None
        command = AnswerProposal(verdict, event.approved, event.user, price, refusal, at)
        await decide(holding, command, envelope.event_id, desk)

    # -- the sentinel -------------------------------------------------------------------------------

    async def _guard(self, envelope: Envelope[Event], at: datetime, desk: Desk) -> None:
        match envelope.event:
            case BlackSwanDeclared():
                fall = f"{envelope.event.symbol} fell {envelope.event.evidence.fall_percent:f} %"
                for holding in self._crypto_longs():
                    command: TradeCommand = (
                        OrderExit(ExitReason.BLACK_SWAN, fall, at)
                        if holding.proposed is None
                        else ExpireProposal(f"black swan: {fall}", at)
                    )
                    await decide(holding, command, envelope.event_id, desk)
            case AmberRaised():
                for holding in self._crypto_longs():
                    if holding.proposed is None:
                        await self._tighten(holding, envelope.event_id, at, desk)
            case _:
                return

    def _crypto_longs(self) -> list[Holding]:
        return [
            holding
            for holding in self._view.holdings.values()
            if (holding.direction is Direction.LONG or holding.is_ladder)
            and holding.venue.is_crypto
            and not holding.is_over
            and self._owns(holding.account)
        ]

    async def _tighten(self, holding: Holding, cause: UUID, at: datetime, desk: Desk) -> None:
        trade: TradeState = await desk.state(TRADE, holding.trade)
        instrument = self._view.instrument(holding.venue, holding.symbol)
        if instrument is None or not trade.is_held:
            return
        distance = max(
            round_price(trade.terms.atr * self._rules.amber_trail_atr, instrument), instrument.tick_size
        )
        await decide(holding, TightenTrail(plain(distance), "amber", at), cause, desk)

    # -- shield -------------------------------------------------------------------------------------

    async def _exit_approved(
        self, envelope: Envelope[Event], event: ExitApproved, at: datetime, desk: Desk
    ) -> None:
        account = _account_of(envelope)
        if not self._owns(account):
            return
        for holding in self._proposed_on(account):
            # Approved after all, it would never be told to leave again.
            is_ladder = holding.proposed is not None and holding.proposed.ladder is not None
            if is_ladder and (holding.venue, holding.symbol) == (event.venue, event.symbol):
                await decide(holding, ExpireProposal(event.reason, at), envelope.event_id, desk)
        reason = ExitReason.MANUAL if event.origin is Origin.MANUAL else ExitReason.SIGNAL
        for holding in self._view.held_by(account, event.symbol):
            is_meant = holding.is_ladder or holding.direction is event.direction
            if holding.venue is event.venue and is_meant:
                command = OrderExit(reason, event.reason, at)
                await decide(holding, command, envelope.event_id, desk)

    async def _entry_approved(
        self,
        envelope: Envelope[Event],
        verdict: EntryApproved,
        later: Sequence[Envelope[Event]],
        at: datetime,
        desk: Desk,
    ) -> None:
        trade, account = TradeId(str(envelope.event_id)), _account_of(envelope)
        known = self._view.accounts.get(account)
        if known is None or not self._owns(account):
            self._view.verdicts.pop(trade, None)
            return
        refusal = _overtaken(verdict, known.user, later) or self._refusal(verdict, account, at)
        command = ConsiderVerdict(
            envelope.event_id,
            verdict,
            account,
            known.user,
            self._session_of(known.user).mode,
            self._rules.proposal_seconds,
            self._rules.drift_atr,
            refusal,
            at,
        )
        await desk.handle(
            TRADE,
            trade,
            command,
            cause=envelope.event_id,
            correlation=envelope.correlation_id,
            account=account,
            fresh=True,
        )

    def _refusal(self, verdict: EntryApproved, account: AccountId, at: datetime) -> str | None:
        """Why this entry must not leave although it was approved."""
        refusal = self._refused_by_venue(verdict, account, at)
        if refusal is not None:
            return refusal
        if account not in self._view.opened:
            return f"account {account} could not be opened at {verdict.venue} yet"
        if self._view.is_blocked(account, verdict.symbol):
            return f"an order on {verdict.symbol} is unresolved: nobody knows whether the venue has it"
        drift = self._view.drifts.get((account, verdict.symbol))
        if drift:
            return f"the venue holds {drift:+f} {verdict.symbol} that our fills do not explain"
        return last_hop.refusal(
            self._view.last_hops.get(account, last_hop.LastHop()),
            quantity=verdict.quantity,
            price=verdict.price,
            equity=verdict.equity,
            profile=self._session_of(self._view.accounts[account].user).profile,
            rules=self._rules,
            at=at,
        )

    def _refused_by_venue(self, verdict: EntryApproved, account: AccountId, at: datetime) -> str | None:
        """Why nothing may be entered on this instrument now, whatever its size."""
        view, venue, symbol = self._view, verdict.venue, verdict.symbol
        if not view.is_listed(venue, symbol):
            return f"{venue} does not list {symbol}"
        if view.has_stopped(venue, symbol):
            return f"{venue} does not trade {symbol} any more"
        until = view.rests_until(account, symbol, at)
        if until is not None:
            return f"the venue took a position in {symbol}; no entries there until {until:%Y-%m-%d %H:%M}"
        if view.adopted_on(account, symbol):
            return f"a position in {symbol} was opened by hand; no entries there until it is closed"
        if self._traits(account).whole_quantity and verdict.quantity % 1:
            return f"{verdict.quantity:f} {symbol}: stops at {venue} cover whole units only"
        return None

    def _session_of(self, user: UserId) -> Session:
        return self._view.sessions.get(user, Session(user, Mode.WATCHER, Profile.CONSERVATIVE))


def _account_of(envelope: Envelope[Event]) -> AccountId:
    """Verdicts stand on `risk-{account}`."""
    return envelope.account or AccountId(envelope.stream.partition("-")[2])


def _overtaken(verdict: EntryApproved, user: UserId, later: Sequence[Envelope[Event]]) -> str | None:
    """Whether something happened behind the verdict that its judge could not know of."""
    for envelope in later:
        match envelope.event:
            case KillRequested(user=killed) if killed == user:
                return f"killed by {user} after the verdict"
            case BlackSwanDeclared() if verdict.direction is Direction.LONG and verdict.venue.is_crypto:
                return "a black swan was declared after the verdict"
            case _:
                continue
    return None
