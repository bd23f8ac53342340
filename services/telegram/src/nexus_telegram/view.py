"""What telegram remembers of the other services, to answer with and to know whom to tell. Rebuilt by listening."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, cast

from nexus_common.contracts.account import AccountOpened, BalanceChanged
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.guard import AmberRaised, BlackSwanDeclared, GuardReleased
from nexus_common.contracts.instrument import InstrumentsListed
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import (
    BreakerReset,
    BreakerTripped,
    EntriesHalted,
    EntriesResumed,
    EntryApproved,
)
from nexus_common.contracts.schedule import TaskCanceled, TaskDue, TaskScheduled
from nexus_common.contracts.session import AccountSpec, Role, RoleGranted, RoleRevoked, SessionOpened
from nexus_common.contracts.trade import TradeClosed, TradeEvent
from nexus_common.contracts.values import AccountId, Origin, Symbol, TradeId, UserId, Venue
from nexus_telegram.feed_view import FeedView
from nexus_telegram.model_view import ModelView
from nexus_telegram.trade_view import TradeStatus, TradeView

TRADES_KEPT: Final = (
    500  # trades that are over, for /why; counted by events, so that a restart keeps the same
)
_ZERO: Final = Decimal(0)


@dataclass(slots=True)
class AccountView:
    spec: AccountSpec
    user: UserId
    wallet: Decimal | None = None
    breaker: str | None = None
    halted_by: str | None = None


@dataclass(slots=True)
class DayResult:
    """Closed trades of one account on one UTC day."""

    trades: int = 0
    wins: int = 0
    net_profit: Decimal = _ZERO
    fees: Decimal = _ZERO
    best: Decimal = _ZERO
    worst: Decimal = _ZERO

    def add(self, closed: TradeClosed) -> None:
        self.trades += 1
        self.wins += closed.net_profit > 0
        self.net_profit += closed.net_profit
        self.fees += closed.fees
        self.best = max(self.best, closed.net_profit)
        self.worst = min(self.worst, closed.net_profit)


@dataclass(slots=True)
class View:
    """All users' world; whoever shows something of it asks for one user's part."""

    roles: dict[UserId, Role] = field(default_factory=dict)
    accounts: dict[AccountId, AccountView] = field(default_factory=dict)
    trades: dict[TradeId, TradeView] = field(default_factory=dict)
    days: dict[tuple[AccountId, str], DayResult] = field(default_factory=dict)
    tasks: dict[UserId, dict[str, TaskScheduled]] = field(default_factory=dict)
    instruments: dict[Venue, frozenset[Symbol]] = field(default_factory=dict)
    feeds: FeedView = field(default_factory=FeedView)
    models: ModelView = field(default_factory=ModelView)
    longs_blocked_until: datetime | None = None
    over: list[TradeId] = field(default_factory=list)
    verdicts: dict[TradeId, EntryApproved] = field(default_factory=dict)
    strategies: set[str] = field(default_factory=set)

    def observe(self, envelope: Envelope[Event]) -> None:
        if envelope.category == "trade":
            self._follow_trade(envelope)
            return
        if envelope.category in ("feed", "market"):
            self.feeds.observe(envelope.event)
            return
        if envelope.category == "model":
            self.models.observe(envelope.event)
            return
        note = _NOTES.get(type(envelope.event))
        if note is not None:
            note(self, envelope)

    def accounts_of(self, user: UserId) -> list[AccountView]:
        return [account for account in self.accounts.values() if account.user == user]

    def user_of(self, account: AccountId | None) -> UserId | None:
        known = None if account is None else self.accounts.get(account)
        return None if known is None else known.user

    def users_at(self, venue: Venue) -> list[UserId]:
        """Users with an account at a venue."""
        return sorted({account.user for account in self.accounts.values() if account.spec.venue is venue})

    def crypto_users(self) -> list[UserId]:
        return sorted({account.user for account in self.accounts.values() if account.spec.venue.is_crypto})

    def keepers(self) -> list[UserId]:
        """The owner and the admins: who looks after the installation."""
        return sorted(user for user, role in self.roles.items() if role in (Role.OWNER, Role.ADMIN))

    def trades_of(self, user: UserId, status: TradeStatus | None = None) -> list[TradeView]:
        """A user's trades in the order they began."""
        mine = (trade for trade in self.trades.values() if trade.user == user)
        return [trade for trade in mine if status is None or trade.status is status]

    def _follow_trade(self, envelope: Envelope[Event]) -> None:
        event = cast(TradeEvent, envelope.event)
        trade = self.trades.get(event.trade_id)
        if trade is None:
            verdict = self.verdicts.pop(event.trade_id, None)
            trade = TradeView(event.trade_id, verdict=verdict, account=envelope.account)
            trade.user = self.user_of(envelope.account)
            self.trades[event.trade_id] = trade
        was_over = trade.status.is_over and bool(trade.history)
        trade.follow(event, envelope.occurred_at)
        if isinstance(event, TradeClosed):
            day = event.closed_at.strftime("%Y-%m-%d")
            self.days.setdefault((event.account, day), DayResult()).add(event)
        if trade.status.is_over and not was_over:
            self.over.append(trade.trade_id)
            if len(self.over) > TRADES_KEPT:
                del self.trades[self.over.pop(0)]


def _session_opened(view: View, envelope: Envelope[Event]) -> None:
    event = cast(SessionOpened, envelope.event)
    for spec in event.accounts:
        view.accounts.setdefault(spec.account, AccountView(spec, event.user))


def _role_granted(view: View, envelope: Envelope[Event]) -> None:
    event = cast(RoleGranted, envelope.event)
    view.roles[event.user] = event.role


def _role_revoked(view: View, envelope: Envelope[Event]) -> None:
    view.roles.pop(cast(RoleRevoked, envelope.event).user, None)


def _wallet(view: View, envelope: Envelope[Event]) -> None:
    event = cast(AccountOpened | BalanceChanged, envelope.event)
    account = view.accounts.get(event.account)
    if account is not None:
        account.wallet = event.wallet


def _standing(view: View, envelope: Envelope[Event]) -> None:
    """What shield holds back on an account; the account's name is the stream's."""
    account = view.accounts.get(AccountId(envelope.stream.partition("-")[2]))
    if account is None:
        return
    match envelope.event:
        case BreakerTripped(reason=reason):
            account.breaker = reason
        case BreakerReset():
            account.breaker = None
        case EntriesHalted(by=by):
            account.halted_by = by
        case EntriesResumed():
            account.halted_by = None


def _verdict(view: View, envelope: Envelope[Event]) -> None:
    verdict = cast(EntryApproved, envelope.event)
    if verdict.origin is Origin.SIGNAL:
        view.strategies.add(verdict.strategy)
    view.verdicts[TradeId(str(envelope.event_id))] = verdict
    if len(view.verdicts) > TRADES_KEPT:
        del view.verdicts[next(iter(view.verdicts))]


def _longs_blocked(view: View, envelope: Envelope[Event]) -> None:
    until = cast(BlackSwanDeclared | AmberRaised, envelope.event).longs_blocked_until
    view.longs_blocked_until = max(until, view.longs_blocked_until or until)


def _longs_free(view: View, _envelope: Envelope[Event]) -> None:
    view.longs_blocked_until = None


def _listed(view: View, envelope: Envelope[Event]) -> None:
    event = cast(InstrumentsListed, envelope.event)
    view.instruments[event.venue] = frozenset(each.symbol for each in event.instruments)


def _scheduled(view: View, envelope: Envelope[Event]) -> None:
    event = cast(TaskScheduled, envelope.event)
    view.tasks.setdefault(event.user, {})[event.task] = event


def _task_due(view: View, envelope: Envelope[Event]) -> None:
    event = cast(TaskDue, envelope.event)
    tasks = view.tasks.get(event.user, {})
    if event.next_due is None:
        tasks.pop(event.task, None)
    elif event.task in tasks:
        tasks[event.task] = tasks[event.task].model_copy(update={"next_due": event.next_due})


def _task_canceled(view: View, envelope: Envelope[Event]) -> None:
    event = cast(TaskCanceled, envelope.event)
    view.tasks.get(event.user, {}).pop(event.task, None)


_NOTES: Final[Mapping[type[Event], Callable[[View, Envelope[Any]], None]]] = {
    SessionOpened: _session_opened,
    RoleGranted: _role_granted,
    RoleRevoked: _role_revoked,
    AccountOpened: _wallet,
    BalanceChanged: _wallet,
    BreakerTripped: _standing,
    BreakerReset: _standing,
    EntriesHalted: _standing,
    EntriesResumed: _standing,
    EntryApproved: _verdict,
    BlackSwanDeclared: _longs_blocked,
    AmberRaised: _longs_blocked,
    GuardReleased: _longs_free,
    InstrumentsListed: _listed,
    TaskScheduled: _scheduled,
    TaskDue: _task_due,
    TaskCanceled: _task_canceled,
}
