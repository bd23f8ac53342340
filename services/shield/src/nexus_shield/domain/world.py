"""All that shield has heard from others, and what follows from it for one account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from nexus_common.contracts.account import AccountEvent
from nexus_common.contracts.assessment import EntryContext, Peer
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.feed import FeedEvent, FeedLost, FeedRestored, FeedStarted
from nexus_common.contracts.guard import GuardStanding
from nexus_common.contracts.instrument import Bracket, Group, Instrument, InstrumentsListed
from nexus_common.contracts.limits import PROFILES, GuardSettings, RiskSettings
from nexus_common.contracts.market import MarketEvent
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import EntryApproved, ReservationReleased
from nexus_common.contracts.session import AccessEvent, SessionEvent
from nexus_common.contracts.trade import TradeEvent
from nexus_common.contracts.values import Money, Symbol, TradeId, UserId, Venue
from nexus_shield.domain.account_view import Account, AccountView, User
from nexus_shield.domain.market_view import Key, MarketView
from nexus_shield.domain.state import Holding, RiskState
from nexus_shield.domain.trading import Trading, TradingEvent

MONEY_STEP = Decimal("0.00000001")
ZERO = Decimal(0)


class Equity(NamedTuple):
    """Wallet plus open profit at last closes; `unpriced` are held instruments without a known price."""

    amount: Decimal
    unpriced: tuple[Symbol, ...]


@dataclass(slots=True)
class World:
    """Fold of everything heard, kept in place for speed. It decides nothing."""

    market: MarketView
    people: AccountView
    instruments: dict[Key, Instrument] = field(default_factory=dict)
    brackets: dict[Key, tuple[Bracket, ...]] = field(default_factory=dict)
    feeds_lost: dict[Venue, str] = field(default_factory=dict)
    trading: Trading = field(default_factory=Trading)

    @classmethod
    def empty(cls, risk: RiskSettings, guard: GuardSettings, recall: int) -> World:
        return cls(MarketView(recall, guard), AccountView(risk))

    def observe(self, envelope: Envelope[Event]) -> None:
        event = envelope.event
        if isinstance(event, TradingEvent):
            self.trading.observe(event)
        if isinstance(event, MarketEvent):
            self.market.observe(event, envelope.event_id)
        elif isinstance(event, TradeEvent):
            self.people.on_trade(event)
        elif isinstance(event, AccountEvent):
            self.people.on_account(event)
        elif isinstance(event, EntryApproved):
            self.people.on_verdict(event, envelope)
        elif isinstance(event, ReservationReleased):
            self.people.on_release(event)
        elif isinstance(event, SessionEvent):
            self.people.on_session(event)
        elif isinstance(event, AccessEvent):
            self.people.on_access(event)
        elif isinstance(event, InstrumentsListed):
            self._list(event)
        elif isinstance(event, FeedEvent):
            self._on_feed(event)

    def _list(self, event: InstrumentsListed) -> None:
        """A listing replaces the venue's earlier one."""
        kept = {key: known for key, known in self.instruments.items() if key[0] is not event.venue}
        listed = {(event.venue, instrument.symbol): instrument for instrument in event.instruments}
        self.instruments = {**kept, **listed}
        told = {(event.venue, symbol): terms.brackets for symbol, terms in event.terms.items()}
        self.brackets = {
            **{key: known for key, known in self.brackets.items() if key[0] is not event.venue},
            **told,
        }

    def _on_feed(self, event: FeedEvent) -> None:
        match event:
            case FeedLost(venue=venue, reason=reason):
                self.feeds_lost[venue] = reason
            case FeedStarted(venue=venue) | FeedRestored(venue=venue):
                self.feeds_lost.pop(venue, None)
            case _:
                pass

    def user_of(self, account: Account) -> User:
        return self.people.users[account.user]

    def equity(self, account: Account, state: RiskState) -> Equity:
        return self.equity_of(account, state.holdings)

    def equity_of(self, account: Account, holdings: Mapping[TradeId, Holding]) -> Equity:
        amount = self.people.wallets.get(account.account, ZERO)
        unpriced = []
        for holding in holdings.values():
            close = self.market.close(holding.venue, holding.exposure.symbol)
            if close is None:
                unpriced.append(holding.exposure.symbol)
            else:
                amount += holding.profit_at(close.price)
        return Equity(amount.quantize(MONEY_STEP), tuple(unpriced))

    def context(
        self,
        account: Account,
        asked_by: UserId,
        symbol: Symbol,
        state: RiskState,
        guard: GuardStanding,
        at: datetime,
    ) -> EntryContext:
        user = self.user_of(account)
        equity = self.equity(account, state)
        return EntryContext(
            owner=account.user,
            asked_by=asked_by,
            profile=user.profile,
            strategy=user.strategy,
            strategies_off=user.strategies_off,
            settings=user.settings,
            instrument=self.instruments.get((account.venue, symbol)),
            equity=equity.amount,
            unpriced=equity.unpriced,
            feed_lost=self.feeds_lost.get(account.venue),
            guard=guard,
            peers=self._peers(account.venue, symbol, state),
            obstacle=self.trading.obstacle(account.venue, symbol, at),
            groups_off=user.groups_off,
            brackets=self._within_reach(account.venue, symbol, equity.amount, user),
        )

    def _within_reach(self, venue: Venue, symbol: Symbol, equity: Money, user: User) -> tuple[Bracket, ...]:
        """The steps of the leverage table up to the most that the profile lets this equity hold."""
        most = equity * PROFILES[user.profile].gross_notional
        return tuple(each for each in self.brackets.get((venue, symbol), ()) if each.floor <= most)

    def _peers(self, venue: Venue, symbol: Symbol, state: RiskState) -> tuple[Peer, ...]:
        """The other instruments that the account holds or has reserved."""
        others = sorted({exposure.symbol for exposure in state.exposures} - {symbol})
        listed = [self.instruments.get((venue, other)) for other in others]
        return tuple(
            _peer(other, None if known is None else known.group, self.market.alike(venue, symbol, other))
            for other, known in zip(others, listed, strict=True)
        )


@lru_cache(1_000)
def _peer(symbol: Symbol, group: Group | None, correlation: Decimal | None) -> Peer:
    """Many accounts hold the same: what is equal is built once. Correlations have six digits, spelled in one way."""
    return Peer(symbol=symbol, group=group, correlation=correlation)
