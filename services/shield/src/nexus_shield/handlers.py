"""Shield's part in a turn: facts first, then what people want, the sentinel, equity, and last the signals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from uuid import UUID

from nexus_common.contracts.assessment import EntryRequest
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.guard import GuardStanding, ReleaseGuard
from nexus_common.contracts.ids import derived, step_id, timer_id
from nexus_common.contracts.limits import GuardSettings, RiskSettings
from nexus_common.contracts.market import Candle
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import (
    ApproveExit,
    AssessEntry,
    HaltEntries,
    MarkEquity,
    ReleaseReservation,
    ResetBreaker,
    ResumeEntries,
    RiskCommand,
)
from nexus_common.contracts.session import (
    BreakerResetRequested,
    KillRequested,
    OrderRequested,
    ResumeRequested,
)
from nexus_common.contracts.signal import SignalRaised
from nexus_common.contracts.values import AccountId, Origin, Service, Symbol, UserId, Venue
from nexus_common.runtime.ports import Desk, Turn
from nexus_market.quiet import Quiet
from nexus_shield.domain.account_view import Account, User
from nexus_shield.domain.facts import note
from nexus_shield.domain.guard import CRYPTO, GUARD
from nexus_shield.domain.leeway import quiet_bands
from nexus_shield.domain.market_view import Bar15, Key
from nexus_shield.domain.requests import request_by_hand, request_of_signal
from nexus_shield.domain.risk import RISK, mark_equity
from nexus_shield.domain.shark_shorts import shark_shorts
from nexus_shield.domain.state import RiskState
from nexus_shield.domain.world import World
from nexus_shield.sentinel import Sentinel

MARKET_RECALL = 4_000
"""Market events heard again after a start. 51 bars of 15m are 765 events of one venue's minutes, about 2,300
of three venues', and the backfill of a start is some hundreds; a process that never stopped forgets the rest."""

Heard = Sequence[Envelope[Event]]
Marked = tuple[RiskState, Decimal, date, User, int]
Requests = dict[tuple[UUID, int], EntryRequest]


class ShieldReactor:
    """Judges entries and exits for the accounts that `owns` names; watches the reference market."""

    service = Service.SHIELD
    # Told once, and true for long: further back than the other market events that are heard again.
    whole_streams = tuple(f"market-{venue}.{kind}" for venue in Venue for kind in ("halts", "sessions"))

    def __init__(
        self,
        risk: RiskSettings | None = None,
        guard: GuardSettings | None = None,
        recall: int = MARKET_RECALL,
        owns: Callable[[AccountId], bool] = lambda account: True,
        shark_targets: Iterable[Symbol] = (),
    ) -> None:
        self._owns = owns
        guard = guard or GuardSettings()
        self._world = World.empty(risk or RiskSettings(), guard, recall)
        self._sentinel = Sentinel(self._world.market, guard)
        self._shark_targets = tuple(shark_targets)
        self._marked: dict[AccountId, Marked] = {}
        self._all: tuple[Account, ...] = ()
        self._ours: tuple[Account, ...] = ()
        self.listens: Mapping[str, int | None] = MappingProxyType(
            {
                "session": None,
                "access": None,
                "account": None,
                "trade": None,
                "risk": None,
                "instrument": None,
                "feed": None,
                "market": recall,
                "signal": 0,  # judged in the turn that brings them, then of no more use
            }
        )

    def observe(self, envelope: Envelope[Event]) -> None:
        self._world.observe(envelope)

    @property
    def sentinel(self) -> Sentinel:
        """To be fed with ticks beside the turns."""
        return self._sentinel

    async def resume(self, desk: Desk) -> None:
        """Nothing is left open by a crash: verdicts and equity are decided within a turn, or again."""

    def pass_over(self, count: int, bars: Iterable[tuple[Key, datetime, Bar15]]) -> None:
        """Market events that a backtest does not have us hear; what is remembered of them are their 15m bars."""
        self._world.market.pass_over(count, bars)

    def note_close(self, venue: Venue, candle: Candle, at: datetime, age: int) -> None:
        """The last price of an instrument among them, `age` market events ago."""
        self._world.market.note_close(venue, candle, at, age)

    async def quiet(self, at: datetime, desk: Desk) -> Quiet | None:
        """Until a verdict or a block runs out or a day begins, and while no equity reaches a limit.

        Falls of the reference market are not looked at: `possible_falls` finds them beforehand.
        """
        dues = [verdict.valid_until for verdict in self._world.people.unused.values()]
        held = (await desk.state(GUARD, CRYPTO)).black_swan_until
        midnight = datetime.combine(at.date() + timedelta(days=1), time(), UTC)
        quiet = Quiet(min([*dues, midnight] if held is None else [*dues, held, midnight]))
        for account in self._accounts():
            wallet = self._world.people.wallets.get(account.account)
            if wallet is None:
                continue
            state: RiskState = await desk.state(RISK, account.account)
            user = self._world.user_of(account)
            if not state.holdings:
                if self._marked.get(account.account) != (state, wallet, at.date(), user, 0):
                    return None
                continue
            bands = quiet_bands(self._world, account, state, user.settings)
            if bands is None:
                return None
            quiet = quiet.joined(Quiet(None, bands))
        return quiet

    async def react(self, turn: Turn, batch: Heard, desk: Desk) -> None:
        for envelope in batch:
            if envelope.stream.startswith("trade-"):
                await self._note(envelope, desk)
        await self._release_unused(turn, desk)
        for envelope in batch:
            if envelope.stream.startswith("session-"):
                await self._serve(envelope, turn, desk)
        declared = await self._sentinel.watch(turn, batch, desk)
        if batch:
            await self._mark_equity(turn, desk)
        if declared is not None:
            await self._short_sharks(declared, turn, desk)
        await self._judge_signals(turn, batch, desk)
        self._world.people.forget_ended()
        self._world.market.forget_falls()

    def _accounts(self) -> tuple[Account, ...]:
        """Ours, in order; filtered anew only when a session brought another one."""
        in_order = self._world.people.in_order
        if in_order is not self._all:
            self._all = in_order
            self._ours = tuple(account for account in in_order if self._owns(account.account))
        return self._ours

    async def _send(
        self, account: AccountId, command: RiskCommand, desk: Desk, cause: UUID, story: UUID | None
    ) -> None:
        await desk.handle(RISK, account, command, cause=cause, correlation=story, account=account)

    async def _note(self, envelope: Envelope[Event], desk: Desk) -> None:
        """What a trade has come to, in the words of the account's risk."""
        world = self._world
        known = world.people.account_of(envelope)
        if known is None or not self._owns(known.account):
            return
        state: RiskState = await desk.state(RISK, known.account)
        command = note(envelope, world, known, state)
        if command is not None:
            await self._send(known.account, command, desk, envelope.event_id, envelope.correlation_id)

    async def _release_unused(self, turn: Turn, desk: Desk) -> None:
        """Verdicts whose time ran out before anything was ordered on them."""
        for verdict_id, verdict in list(self._world.people.unused.items()):
            due = verdict.valid_until
            if turn.at > due and self._owns(verdict.account):
                command = ReleaseReservation(verdict_id, verdict.request_id, "not used in time", turn.at)
                cause = timer_id(f"reservation-{verdict_id}", due)
                await self._send(verdict.account, command, desk, cause, verdict.correlation_id)

    async def _serve(self, envelope: Envelope[Event], turn: Turn, desk: Desk) -> None:
        """What a person asks for."""
        match envelope.event:
            case OrderRequested() as wish:
                await self._judge_wish(wish, envelope, turn, desk)
            case BreakerResetRequested(user=user, account=only):
                for account in self._accounts_of(user):
                    if only is None or only == account.account:
                        equity = self._world.equity(account, await desk.state(RISK, account.account)).amount
                        await self._ask(account, ResetBreaker(user, equity, turn.at), envelope, desk)
            case KillRequested(user=user):
                for account in self._accounts_of(user):
                    await self._ask(account, HaltEntries(user, turn.at), envelope, desk)
            case ResumeRequested(user=user):
                await self._resume_trading(user, envelope, turn, desk)
            case _:
                pass

    def _accounts_of(self, user: UserId) -> list[Account]:
        return [account for account in self._accounts() if account.user == user]

    async def _ask(
        self, account: Account, command: RiskCommand, envelope: Envelope[Event], desk: Desk
    ) -> None:
        await self._send(account.account, command, desk, envelope.event_id, envelope.correlation_id)

    async def _resume_trading(self, user: UserId, envelope: Envelope[Event], turn: Turn, desk: Desk) -> None:
        """The sentinel's block ends for all, or, when asked by one user among several, for his accounts."""
        for_all = self._world.people.may_release_guard(user)
        standing = GuardStanding() if for_all else (await desk.state(GUARD, CRYPTO)).standing
        for account in self._accounts_of(user):
            await self._ask(account, ResumeEntries(user, standing, turn.at), envelope, desk)
        if for_all:
            release = ReleaseGuard(f"resumed by {user}", turn.at)
            await desk.handle(
                GUARD, CRYPTO, release, cause=envelope.event_id, correlation=envelope.correlation_id
            )

    async def _judge_wish(
        self, wish: OrderRequested, envelope: Envelope[Event], turn: Turn, desk: Desk
    ) -> None:
        account = self._world.people.accounts.get(wish.account)
        if account is None or not self._owns(account.account):
            return
        market = self._world.market
        request = request_by_hand(
            wish,
            envelope.event_id,
            account.venue,
            market.close(account.venue, wish.symbol),
            market.atr(account.venue, wish.symbol),
            self._world.user_of(account).settings,
            turn.at,
        )
        await self._assess(account, wish.user, request, envelope, turn, desk)

    async def _assess(
        self,
        account: Account,
        asked_by: UserId,
        request: EntryRequest,
        envelope: Envelope[Event],
        turn: Turn,
        desk: Desk,
    ) -> None:
        state: RiskState = await desk.state(RISK, account.account)
        guard = (await desk.state(GUARD, CRYPTO)).standing
        context = self._world.context(account, asked_by, request.symbol, state, guard, turn.at)
        await self._ask(account, AssessEntry(account.account, request, context, turn.at), envelope, desk)

    async def _short_sharks(self, declared: Envelope[Event], turn: Turn, desk: Desk) -> None:
        """A black swan is declared: entries for those who opted in."""
        standing = (await desk.state(GUARD, CRYPTO)).standing
        for account in self._accounts():
            settings = self._world.user_of(account).settings
            if not (settings.black_swan_shorts and account.takes_signals and account.venue.is_crypto):
                continue
            shorts = shark_shorts(
                self._world, account.venue, self._shark_targets, settings, declared, turn.at
            )
            for request in shorts:
                state: RiskState = await desk.state(RISK, account.account)
                context = self._world.context(account, account.user, request.symbol, state, standing, turn.at)
                command = AssessEntry(account.account, request, context, turn.at)
                await self._send(account.account, command, desk, request.request_id, declared.correlation_id)

    async def _mark_equity(self, turn: Turn, desk: Desk) -> None:
        """Read every account's equity; only a reading that means something becomes a command."""
        day = turn.at.date()
        for account in self._accounts():
            wallet = self._world.people.wallets.get(account.account)
            if wallet is None:
                continue
            user = self._world.user_of(account)
            state: RiskState = await desk.state(RISK, account.account)
            # Prices matter to what is held: without positions there is no market event to wait for.
            marking = (state, wallet, day, user, self._world.market.number if state.holdings else 0)
            if self._marked.get(account.account) == marking:
                continue
            equity = self._world.equity(account, state)
            if equity.unpriced:
                continue
            command = MarkEquity(equity.amount, user.settings, turn.at)
            if mark_equity(command, state):
                # The same equity at the same instant is never worth a second mark: a cause of its own.
                cause = derived(step_id(account.venue, 0, turn.at), f"equity {equity.amount:f}")
                await self._send(account.account, command, desk, cause, None)
                state = await desk.state(RISK, account.account)
            self._marked[account.account] = (state, *marking[1:])

    async def _judge_signals(self, turn: Turn, batch: Heard, desk: Desk) -> None:
        """By account, then exits first, confidence falling, instrument: the same order in every runner."""
        signals = [envelope for envelope in batch if isinstance(envelope.event, SignalRaised)]
        if not signals:
            return
        signals.sort(key=_rank)
        requests: Requests = {}
        for account in self._accounts():
            for envelope in signals:
                signal = envelope.event
                if isinstance(signal, SignalRaised) and signal.venue is account.venue:
                    await self._judge(account, signal, requests, envelope, turn, desk)

    async def _judge(
        self,
        account: Account,
        signal: SignalRaised,
        requests: Requests,
        envelope: Envelope[Event],
        turn: Turn,
        desk: Desk,
    ) -> None:
        if signal.action.is_entry:
            user = self._world.user_of(account)
            if not account.takes_signals or not signal.is_for(user.strategy):
                return
            settings = user.settings
            # The same for all accounts but for how old a price they take.
            key = (envelope.event_id, settings.max_price_age_seconds)
            if key not in requests:
                requests[key] = request_of_signal(signal, envelope.event_id, settings)
            await self._assess(account, account.user, requests[key], envelope, turn, desk)
            return
        leave = ApproveExit(
            request_id=envelope.event_id,
            origin=Origin.SIGNAL,
            venue=signal.venue,
            symbol=signal.symbol,
            direction=signal.action.direction,
            strategy=signal.strategy,
            reason="; ".join(signal.reasons),
            at=turn.at,
        )
        await self._ask(account, leave, envelope, desk)


def _rank(envelope: Envelope[Event]) -> tuple[object, ...]:
    signal = envelope.event
    assert isinstance(signal, SignalRaised)
    return (
        signal.candle_close,
        signal.action.is_entry,
        -signal.confidence,
        signal.venue,
        signal.symbol,
        signal.strategy,
        signal.timeframe,
        signal.action,
    )
