"""What shield remembers of users, their accounts and their trades: who wants what, and which trade is whose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from nexus_common.contracts.account import AccountEvent, AccountOpened, BalanceChanged
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.instrument import Group
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import EntryApproved, ReservationReleased
from nexus_common.contracts.session import (
    AccessEvent,
    GroupSwitched,
    ProfileChanged,
    RiskSettingChanged,
    Role,
    RoleGranted,
    RoleRevoked,
    SessionEvent,
    SessionOpened,
    StrategyChosen,
    StrategySwitched,
)
from nexus_common.contracts.trade import (
    TradeAbandoned,
    TradeAdmitted,
    TradeAlerted,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
    TradeEvent,
    TradeProposed,
)
from nexus_common.contracts.values import AccountId, Profile, TradeId, UserId, Venue


@dataclass(frozen=True, slots=True)
class User:
    """One session: what its user chose."""

    user: UserId
    profile: Profile
    strategy: str
    settings: RiskSettings
    strategies_off: tuple[str, ...] = ()
    groups_off: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    account: AccountId
    user: UserId
    venue: Venue
    takes_signals: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """An approved entry: the request it answered, the story it belongs to, and when it runs out."""

    account: AccountId
    request_id: UUID
    correlation_id: UUID
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class TradeLink:
    """Which account and which verdict a trade belongs to; a trade that was adopted has no verdict."""

    account: AccountId
    verdict_id: UUID | None


@dataclass(slots=True)
class AccountView:
    """Fold of sessions, roles, accounts, verdicts and trades, kept in place for speed."""

    defaults: RiskSettings
    users: dict[UserId, User] = field(default_factory=dict)
    accounts: dict[AccountId, Account] = field(default_factory=dict)
    wallets: dict[AccountId, Decimal] = field(default_factory=dict)
    roles: dict[UserId, Role] = field(default_factory=dict)
    verdicts: dict[UUID, Verdict] = field(default_factory=dict)
    trades: dict[TradeId, TradeLink] = field(default_factory=dict)
    in_order: tuple[Account, ...] = ()
    unused: dict[UUID, Verdict] = field(default_factory=dict)
    _ended: list[TradeId] = field(default_factory=list)

    def account_of(self, envelope: Envelope[Event]) -> Account | None:
        """The account that an event of a trade is about, when it belongs to a session."""
        event = envelope.event
        account = envelope.account
        if isinstance(event, TradeEvent):
            link = self.trades.get(event.trade_id)
            account = account if link is None else link.account
        return None if account is None else self.accounts.get(account)

    def may_release_guard(self, user: UserId) -> bool:
        """The sentinel guards everybody: its owner or an admin releases it, or anybody where nobody has a role."""
        return not self.roles or self.roles.get(user) in (Role.OWNER, Role.ADMIN)

    def on_session(self, event: SessionEvent) -> None:
        if isinstance(event, SessionOpened):
            self._open(event)
            return
        known = self.users.get(event.user)
        if known is None:
            return
        match event:
            case ProfileChanged(profile=profile):
                known = replace(known, profile=profile)
            case StrategyChosen(strategy=strategy):
                known = replace(known, strategy=strategy)
            case StrategySwitched(strategy=strategy, enabled=enabled):
                others = tuple(name for name in known.strategies_off if name != strategy)
                known = replace(known, strategies_off=others if enabled else (*others, strategy))
            case GroupSwitched(group=group, enabled=enabled):
                rest = tuple(each for each in known.groups_off if each is not group)
                known = replace(known, groups_off=rest if enabled else (*rest, group))
            case RiskSettingChanged(name=name, value=value):
                known = replace(known, settings=_changed(known.settings, name, value))
            case _:
                return
        self.users[event.user] = known

    def _open(self, event: SessionOpened) -> None:
        known = self.users.get(event.user) or User(event.user, event.profile, event.strategy, self.defaults)
        self.users[event.user] = replace(known, profile=event.profile, strategy=event.strategy)
        for spec in event.accounts:
            # An account stays with the user who named it first.
            account = Account(spec.account, event.user, spec.venue, spec.signals)
            self.accounts.setdefault(spec.account, account)
        self.in_order = tuple(self.accounts[key] for key in sorted(self.accounts))

    def on_access(self, event: AccessEvent) -> None:
        match event:
            case RoleGranted(user=user, role=role):
                self.roles[user] = role
            case RoleRevoked(user=user):
                self.roles.pop(user, None)

    def on_account(self, event: AccountEvent) -> None:
        match event:
            case (
                AccountOpened(account=account, wallet=wallet) | BalanceChanged(account=account, wallet=wallet)
            ):
                self.wallets[account] = wallet
            case _:
                pass  # funding and liquidation change the wallet by an event of their own

    def on_verdict(self, event: EntryApproved, envelope: Envelope[Event]) -> None:
        if envelope.account is None:
            return
        verdict = Verdict(envelope.account, event.request_id, envelope.correlation_id, event.valid_until)
        self.verdicts[envelope.event_id] = verdict
        self.unused[envelope.event_id] = verdict

    def on_release(self, event: ReservationReleased) -> None:
        self.unused.pop(event.verdict_id, None)

    def on_trade(self, event: TradeEvent) -> None:
        match event:
            case TradeAlerted() | TradeProposed():
                self.trades[event.trade_id] = TradeLink(event.account, event.verdict_id)
            case TradeAdmitted():
                self.trades[event.trade_id] = TradeLink(event.account, event.verdict_id)
                self.unused.pop(event.verdict_id, None)
            case TradeEntered():
                self.trades.setdefault(event.trade_id, TradeLink(event.account, None))
            case TradeClosed():
                self.trades.setdefault(event.trade_id, TradeLink(event.account, None))
                self._ended.append(event.trade_id)
            case TradeDeclined() | TradeAbandoned():
                self._ended.append(event.trade_id)
            case _:
                pass

    def verdict_of(self, trade: TradeId) -> UUID | None:
        link = self.trades.get(trade)
        return None if link is None else link.verdict_id

    def request_of(self, trade: TradeId) -> UUID | None:
        """The request that a trade goes back to."""
        verdict_id = self.verdict_of(trade)
        verdict = None if verdict_id is None else self.verdicts.get(verdict_id)
        return None if verdict is None else verdict.request_id

    def forget_ended(self) -> None:
        """Ended trades have been noted: nothing asks for them any more."""
        for trade in self._ended:
            link = self.trades.pop(trade, None)
            if link is not None and link.verdict_id is not None:
                self.verdicts.pop(link.verdict_id, None)
        self._ended.clear()


def _changed(settings: RiskSettings, name: str, value: Decimal) -> RiskSettings:
    """A figure beyond its cap was refused before it became an event; one that slipped through changes nothing."""
    try:
        return settings.changed(name, value)
    except ValueError:
        return settings
