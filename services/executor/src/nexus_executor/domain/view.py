"""What the executor remembers of the world, folded from events alone, so that a restart rebuilds it.

Nothing here is decided: sessions and instruments as others state them, the last bars, and for each trade in
hand its orders, with the event ids and times that a fold of the streams does not keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from nexus_common.contracts.account import AccountOpened, PositionDrifted
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.instrument import Instrument, InstrumentsListed
from nexus_common.contracts.market import Candle, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import (
    AmendRefused,
    AmendStarted,
    CancelStarted,
    Leg,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    OrderIntentRecorded,
    SubmitAccepted,
    SubmitProvenAbsent,
    SubmitRefused,
    SubmitStarted,
    SubmitUnknown,
)
from nexus_common.contracts.risk import EntryApproved
from nexus_common.contracts.session import AccountSpec, ModeChanged, ProfileChanged, SessionOpened
from nexus_common.contracts.trade import (
    TradeAbandoned,
    TradeAdmitted,
    TradeAlerted,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
    TradeProposed,
    TradeReduced,
)
from nexus_common.contracts.values import (
    AccountId,
    ClientOrderId,
    Direction,
    Mode,
    Profile,
    Symbol,
    TradeId,
    UserId,
    Venue,
)
from nexus_executor.domain import last_hop


class Request(StrEnum):
    """What can be under way to a venue."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    AMEND = "amend"


@dataclass(frozen=True, slots=True)
class Started:
    """A request that was written down and has no outcome yet. `event_id` names it, `at` is when."""

    request: Request
    order: ClientOrderId
    event_id: UUID
    at: datetime


@dataclass(slots=True)
class OrderNote:
    order: ClientOrderId
    leg: Leg
    account: AccountId
    symbol: Symbol
    started_at: datetime
    deadline: datetime
    is_unknown: bool = False
    has_ended: bool = False


@dataclass(slots=True)
class Holding:
    """A trade in the executor's hands: proposed, wanted or held, or closed with orders still standing."""

    trade: TradeId
    account: AccountId
    venue: Venue
    symbol: Symbol
    direction: Direction
    correlation: UUID
    user: UserId | None = None
    proposed: TradeProposed | None = None
    is_over: bool = False
    filled_at: datetime | None = None
    orders: dict[ClientOrderId, OrderNote] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Session:
    user: UserId
    mode: Mode
    profile: Profile


@dataclass(frozen=True, slots=True)
class Account:
    spec: AccountSpec
    user: UserId


class View:
    """Fed by `observe`, oldest event first. Dictionaries keep the order of arrival."""

    def __init__(self) -> None:
        self.sessions: dict[UserId, Session] = {}
        self.accounts: dict[AccountId, Account] = {}
        self.opened: dict[AccountId, None] = {}
        self.instruments: dict[tuple[Venue, Symbol], Instrument] = {}
        self.verdicts: dict[TradeId, EntryApproved] = {}
        self.holdings: dict[TradeId, Holding] = {}
        self.proposals: dict[TradeId, None] = {}
        self.restless: dict[TradeId, None] = {}
        self.unsettled: dict[tuple[Request, ClientOrderId], Started] = {}
        self.last_hops: dict[AccountId, last_hop.LastHop] = {}
        self.drifts: dict[tuple[AccountId, Symbol], Decimal] = {}
        self._trade_of: dict[ClientOrderId, TradeId] = {}
        self._bars: dict[tuple[Venue, int], CandlesClosed] = {}
        self._indexed: dict[Venue, tuple[datetime, dict[Symbol, Candle]]] = {}

    # -- questions ----------------------------------------------------------------------------------

    def instrument(self, venue: Venue, symbol: Symbol) -> Instrument | None:
        return self.instruments.get((venue, symbol))

    def bar(self, venue: Venue, symbol: Symbol, at: datetime) -> Candle | None:
        """The finest bar of an instrument that closed at this instant."""
        return self._index(venue, at).get(symbol)

    def price(self, venue: Venue, symbol: Symbol, at: datetime, age: timedelta) -> Decimal | None:
        """The last close that is not older than `age`."""
        newest: tuple[datetime, Decimal] | None = None
        for (where, _), closed in self._bars.items():
            if where is not venue or closed.at + age < at or (newest and newest[0] >= closed.at):
                continue
            bar = _finest(closed, symbol)
            newest = newest if bar is None else (closed.at, bar.close)
        return newest[1] if newest else None

    def held_by(self, account: AccountId, symbol: Symbol | None = None) -> Iterator[Holding]:
        """Trades of an account that are wanted or held, in the order they began."""
        for holding in list(self.holdings.values()):
            if holding.account != account or holding.is_over or holding.proposed is not None:
                continue
            if symbol is None or holding.symbol == symbol:
                yield holding

    def trade_of(self, order: ClientOrderId) -> Holding | None:
        trade = self._trade_of.get(order)
        return None if trade is None else self.holdings.get(trade)

    def is_blocked(self, account: AccountId, symbol: Symbol) -> bool:
        """Whether nobody knows if an order of this account on this instrument reached the venue."""
        for started in self.unsettled.values():
            holding = self.trade_of(started.order)
            if started.request is Request.SUBMIT and holding and (holding.account, holding.symbol) == (
                account,
                symbol,
            ):
                return True
        return False

    # -- facts --------------------------------------------------------------------------------------

    def observe(self, envelope: Envelope[Event]) -> None:  # noqa: C901 - one case per fact
        event = envelope.event
        match event:
            case CandlesClosed():
                self._bars[event.venue, event.partition] = event
                self._indexed.pop(event.venue, None)
            case OrderIntentRecorded():
                self._on_intent(event, envelope)
            case (
                SubmitStarted()
                | SubmitAccepted()
                | SubmitRefused()
                | SubmitUnknown()
                | SubmitProvenAbsent()
                | OrderFilled()
                | CancelStarted()
                | OrderCanceled()
                | AmendStarted()
                | OrderAmended()
                | AmendRefused()
            ):
                self._on_order(event, envelope)
            case EntryApproved():
                self.verdicts[TradeId(str(envelope.event_id))] = event
            case TradeProposed() | TradeAdmitted() | TradeEntered():
                self._on_trade(event, envelope)
            case TradeReduced():
                self._touch(event.trade_id, envelope.occurred_at)
            case TradeAlerted() | TradeDeclined():
                self._forget(event.trade_id)
            case TradeClosed() | TradeAbandoned():
                self._on_end(event)
            case SessionOpened():
                self.sessions[event.user] = Session(event.user, event.mode, event.profile)
                for spec in event.accounts:
                    self.accounts[spec.account] = Account(spec, event.user)
            case ModeChanged() if event.user in self.sessions:
                session = self.sessions[event.user]
                self.sessions[event.user] = Session(session.user, event.mode, session.profile)
            case ProfileChanged() if event.user in self.sessions:
                session = self.sessions[event.user]
                self.sessions[event.user] = Session(session.user, session.mode, event.profile)
            case InstrumentsListed():
                for instrument in event.instruments:
                    self.instruments[event.venue, instrument.symbol] = instrument
            case AccountOpened():
                self.opened[event.account] = None
            case PositionDrifted():
                self.drifts[event.account, event.symbol] = event.held - event.expected
            case _:
                pass
        if isinstance(event, TradeAdmitted | TradeEntered | TradeReduced | TradeClosed | TradeAbandoned):
            self._count(event, envelope)

    def _on_trade(self, event: TradeProposed | TradeAdmitted | TradeEntered, envelope: Envelope[Event]) -> None:
        holding = self.holdings.get(event.trade_id)
        if holding is None:
            holding = Holding(
                event.trade_id,
                event.account,
                event.venue,
                event.symbol,
                event.direction,
                envelope.correlation_id,
            )
            self.holdings[event.trade_id] = holding
        holding.is_over = False
        if isinstance(event, TradeProposed):
            holding.proposed, holding.user = event, event.user
            self.proposals[event.trade_id] = None
            return
        if isinstance(event, TradeAdmitted):
            holding.proposed, holding.user = None, event.user
            self.proposals.pop(event.trade_id, None)
            self.verdicts.pop(event.trade_id, None)
        else:
            holding.filled_at = envelope.occurred_at
        self.restless[event.trade_id] = None

    def _touch(self, trade: TradeId, at: datetime) -> None:
        holding = self.holdings.get(trade)
        if holding is not None:
            holding.filled_at = at
            self.restless[trade] = None

    def _on_end(self, event: TradeClosed | TradeAbandoned) -> None:
        holding = self.holdings.get(event.trade_id)
        if holding is not None:
            holding.is_over = True
            self.restless[event.trade_id] = None
            self._let_go(holding)

    def _let_go(self, holding: Holding) -> None:
        """A trade is out of our hands when it is over and none of its orders can do anything any more."""
        if holding.is_over and all(self._is_done(note) for note in holding.orders.values()):
            self._forget(holding.trade)

    def _is_done(self, note: OrderNote) -> bool:
        return note.has_ended and not any((request, note.order) in self.unsettled for request in Request)

    def _forget(self, trade: TradeId) -> None:
        self.verdicts.pop(trade, None)
        self.proposals.pop(trade, None)
        self.restless.pop(trade, None)
        holding = self.holdings.pop(trade, None)
        for order in holding.orders if holding else ():
            self._trade_of.pop(order, None)

    def _on_intent(self, event: OrderIntentRecorded, envelope: Envelope[Event]) -> None:
        holding = self.holdings.get(event.trade_id)
        if holding is None:
            return
        at = envelope.occurred_at
        holding.orders[event.client_order_id] = OrderNote(
            event.client_order_id, event.leg, event.account, event.symbol, at, at
        )
        self._trade_of[event.client_order_id] = event.trade_id

    def _on_order(
        self,
        event: SubmitStarted
        | SubmitAccepted
        | SubmitRefused
        | SubmitUnknown
        | SubmitProvenAbsent
        | OrderFilled
        | CancelStarted
        | OrderCanceled
        | AmendStarted
        | OrderAmended
        | AmendRefused,
        envelope: Envelope[Event],
    ) -> None:
        order = event.client_order_id
        holding = self.trade_of(order)
        if holding is None:
            return
        self.restless[holding.trade] = None
        note = holding.orders[order]
        match event:
            case SubmitStarted():
                note.deadline = event.deadline
                self._start(Request.SUBMIT, order, envelope)
            case CancelStarted():
                self._start(Request.CANCEL, order, envelope)
            case AmendStarted():
                self._start(Request.AMEND, order, envelope)
            case SubmitAccepted() | SubmitRefused() | SubmitProvenAbsent():
                self.unsettled.pop((Request.SUBMIT, order), None)
                note.is_unknown = False
                if isinstance(event, SubmitAccepted):
                    self._let_go(holding)
                else:
                    self._end(note, holding)
            case SubmitUnknown():
                note.is_unknown = True
            case OrderAmended() | AmendRefused():
                self.unsettled.pop((Request.AMEND, order), None)
                self._let_go(holding)
            case OrderFilled() if event.complete:
                self._end(note, holding)
            case OrderCanceled():
                self._end(note, holding)
            case _:
                pass

    def _start(self, request: Request, order: ClientOrderId, envelope: Envelope[Event]) -> None:
        self.unsettled[request, order] = Started(request, order, envelope.event_id, envelope.occurred_at)

    def _end(self, note: OrderNote, holding: Holding) -> None:
        note.has_ended = True
        self.unsettled.pop((Request.CANCEL, note.order), None)
        self._let_go(holding)

    def _count(
        self,
        event: TradeAdmitted | TradeEntered | TradeReduced | TradeClosed | TradeAbandoned,
        envelope: Envelope[Event],
    ) -> None:
        account = envelope.account
        if account is not None:
            state = self.last_hops.get(account, last_hop.LastHop())
            self.last_hops[account] = last_hop.fold(state, event, envelope.occurred_at)

    def _index(self, venue: Venue, at: datetime) -> dict[Symbol, Candle]:
        known = self._indexed.get(venue)
        if known is not None and known[0] == at:
            return known[1]
        finest: dict[Symbol, Candle] = {}
        for (where, _), closed in self._bars.items():
            if where is not venue or closed.at != at:
                continue
            for candle in closed.candles:
                other = finest.get(candle.symbol)
                if other is None or candle.timeframe.seconds < other.timeframe.seconds:
                    finest[candle.symbol] = candle
        self._indexed[venue] = (at, finest)
        return finest


def _finest(closed: CandlesClosed, symbol: Symbol) -> Candle | None:
    bars = [candle for candle in closed.candles if candle.symbol == symbol]
    return min(bars, key=lambda candle: candle.timeframe.seconds, default=None)
