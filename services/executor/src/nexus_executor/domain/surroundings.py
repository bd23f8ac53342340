"""What others state, as far as trading depends on it: people, accounts, instruments, verdicts, prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from nexus_common.contracts.account import AccountOpened, PositionDrifted, PositionLiquidated
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.instrument import Instrument, InstrumentsListed
from nexus_common.contracts.market import CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import EntryApproved
from nexus_common.contracts.session import (
    CloseRequested,
    KillRequested,
    ModeChanged,
    ProfileChanged,
    SessionOpened,
)
from nexus_common.contracts.values import AccountId, Symbol, TradeId, UserId, Venue
from nexus_executor.domain.bars import Bars
from nexus_executor.domain.holding import Account, Session

Observer = Callable[[Any, Envelope[Event]], object]


class Surroundings:
    """`drifts` is what a venue holds beyond our fills (signed), `gone` where it holds nothing of what is ours.

    `let_go` is where their owner asked to be out after he had been told that.
    """

    def __init__(self) -> None:
        self.sessions: dict[UserId, Session] = {}
        self.accounts: dict[AccountId, Account] = {}
        self.opened: dict[AccountId, datetime] = {}
        self.instruments: dict[tuple[Venue, Symbol], Instrument] = {}
        self.bars = Bars()
        self.verdicts: dict[TradeId, EntryApproved] = {}
        self.drifts: dict[tuple[AccountId, Symbol], Decimal] = {}
        self.gone: dict[tuple[AccountId, Symbol], None] = {}
        self.let_go: dict[tuple[AccountId, Symbol], None] = {}
        self._listed: dict[Venue, frozenset[Symbol]] = {}
        self._stopped: dict[Venue, frozenset[Symbol]] = {}
        self._resting: dict[tuple[AccountId, Symbol], datetime] = {}

    def instrument(self, venue: Venue, symbol: Symbol) -> Instrument | None:
        """Its figures, also when the venue does not list it any more."""
        return self.instruments.get((venue, symbol))

    def is_listed(self, venue: Venue, symbol: Symbol) -> bool:
        return symbol in self._listed.get(venue, ())

    def has_stopped(self, venue: Venue, symbol: Symbol) -> bool:
        """Whether the venue has said that it does not trade this instrument, or is about to stop."""
        return symbol in self._stopped.get(venue, ())

    def rests_until(self, account: AccountId, symbol: Symbol, at: datetime) -> datetime | None:
        """Until when an account enters nothing there, because the venue took a position from it."""
        until = self._resting.get((account, symbol))
        return until if until is not None and at < until else None

    def of_others(self) -> dict[type[Event], Observer]:
        return {
            CandlesClosed: lambda event, _: self.bars.take(event),
            EntryApproved: self._on_verdict,
            SessionOpened: self._on_session,
            ModeChanged: lambda event, _: self._change_session(event.user, mode=event.mode),
            ProfileChanged: lambda event, _: self._change_session(event.user, profile=event.profile),
            InstrumentsListed: self._on_listing,
            AccountOpened: lambda event, heard: self.opened.setdefault(event.account, heard.occurred_at),
            PositionLiquidated: self._on_liquidation,
            CloseRequested: lambda event, _: self._ask_out(event.user, event.account, event.symbol),
            KillRequested: lambda event, _: self._ask_out(event.user),
        }

    def _on_verdict(self, event: EntryApproved, envelope: Envelope[Event]) -> None:
        self.verdicts[TradeId(str(envelope.event_id))] = event

    def _on_session(self, event: SessionOpened, _: Envelope[Event]) -> None:
        self.sessions[event.user] = Session(event.user, event.mode, event.profile)
        for spec in event.accounts:
            self.accounts[spec.account] = Account(spec, event.user)

    def _change_session(self, user: UserId, **changes: Any) -> None:
        if user in self.sessions:
            self.sessions[user] = replace(self.sessions[user], **changes)

    def _on_listing(self, event: InstrumentsListed, _: Envelope[Event]) -> None:
        for instrument in event.instruments:
            self.instruments[event.venue, instrument.symbol] = instrument
        self._listed[event.venue] = frozenset(each.symbol for each in event.instruments)
        self._stopped[event.venue] = frozenset(event.not_trading)

    def _on_liquidation(self, event: PositionLiquidated, envelope: Envelope[Event]) -> None:
        tomorrow = envelope.occurred_at.date() + timedelta(days=1)
        self._resting[event.account, event.symbol] = datetime.combine(tomorrow, time(), UTC)

    def note_drift(self, event: PositionDrifted, _: Envelope[Event]) -> None:
        key = (event.account, event.symbol)
        self.drifts[key] = event.held - event.expected
        if event.expected and not event.held:
            self.gone[key] = None
        else:
            self.gone.pop(key, None)
            self.let_go.pop(key, None)

    def _ask_out(self, user: UserId, account: AccountId | None = None, symbol: Symbol | None = None) -> None:
        for where, what in self.gone:
            is_meant = account in (None, where) and symbol in (None, what)
            if is_meant and where in self.accounts and self.accounts[where].user == user:
                self.let_go[where, what] = None
