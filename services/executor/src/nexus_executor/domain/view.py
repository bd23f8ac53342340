"""What the executor remembers of the world, folded from events alone, so that a restart rebuilds it.

Nothing here is decided: sessions, instruments and verdicts as others state them, the last bars, and the
trades in hand with their orders and the requests that have no outcome yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_common.contracts.account import PositionDrifted
from nexus_common.contracts.envelope import Envelope
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
    OrderKind,
    SubmitAccepted,
    SubmitProvenAbsent,
    SubmitRefused,
    SubmitStarted,
    SubmitUnknown,
)
from nexus_common.contracts.trade import (
    ExitOrdered,
    Found,
    LadderFilled,
    ProtectionSet,
    TargetReached,
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
    ClientOrderId,
    TradeId,
)
from nexus_executor.domain import last_hop
from nexus_executor.domain.hand import Hand
from nexus_executor.domain.holding import Holding, OrderNote, Request, Started
from nexus_executor.domain.surroundings import Observer

_Counted = TradeAdmitted | TradeEntered | TradeReduced | TradeClosed | TradeAbandoned | OrderIntentRecorded


_FOUND = {each.value: each for each in Found}


class View(Hand):
    """Fed by `observe`, oldest event first."""

    def __init__(self) -> None:
        super().__init__()
        self._observers: Mapping[type[Event], Observer] = {
            **self.of_others(),
            PositionDrifted: self._on_drift,
            **self._of_trades(),
            **self._of_orders(),
        }

    def observe(self, envelope: Envelope[Event]) -> None:
        if envelope.account is not None:
            self.last_seen[envelope.account] = envelope.occurred_at
        observer = self._observers.get(type(envelope.event))
        if observer is not None:
            observer(envelope.event, envelope)

    # -- trades -------------------------------------------------------------------------------------

    def _of_trades(self) -> dict[type[Event], Observer]:
        return {
            TradeAlerted: lambda event, _: self._forget(event.trade_id),
            TradeProposed: self._on_proposed,
            TradeDeclined: lambda event, _: self._forget(event.trade_id),
            TradeAdmitted: self._on_admitted,
            TradeEntered: self._on_filled,
            TradeReduced: self._on_filled,
            LadderFilled: self._on_ladder,
            ProtectionSet: lambda event, _: self._stir(event.trade_id),
            TargetReached: lambda event, _: self._stir(event.trade_id),
            ExitOrdered: lambda event, _: self._stir(event.trade_id),
            TradeClosed: self._on_end,
            TradeAbandoned: self._on_end,
        }

    def _take_up(
        self, event: TradeProposed | TradeAdmitted | TradeEntered, envelope: Envelope[Event]
    ) -> Holding:
        holding = self.holdings.get(event.trade_id)
        if holding is None:
            holding = Holding(
                event.trade_id,
                event.account,
                event.venue,
                event.symbol,
                event.direction,
                envelope.correlation_id,
                envelope.occurred_at,
            )
            self.holdings[event.trade_id] = holding
        return holding

    def _on_proposed(self, event: TradeProposed, envelope: Envelope[Event]) -> None:
        self._take_up(event, envelope).proposed = event
        self.proposals[event.trade_id] = None

    def _on_admitted(self, event: TradeAdmitted, envelope: Envelope[Event]) -> None:
        holding = self._take_up(event, envelope)
        holding.proposed = None
        self.proposals.pop(event.trade_id, None)
        verdict = self.verdicts.pop(event.trade_id, None)
        holding.valid_until = None if verdict is None else verdict.valid_until
        holding.found = _FOUND.get(event.approved_by)
        holding.is_ladder = event.ladder is not None
        self._count(event, envelope)
        self._stir(event.trade_id)

    def _on_filled(self, event: TradeEntered | TradeReduced, envelope: Envelope[Event]) -> None:
        if isinstance(event, TradeEntered):
            # Also when the entry had been given up before this fill came to light.
            self._take_up(event, envelope).is_over = False
        holding = self.holdings.get(event.trade_id)
        if holding is not None and holding.is_ladder:
            holding.hold(holding.direction, event.quantity, envelope.occurred_at)
        elif holding is not None:
            holding.filled_at = envelope.occurred_at
            if not holding.stops and holding.bare_since is None:
                holding.bare_since = envelope.occurred_at
        self._count(event, envelope)
        self._stir(event.trade_id)

    def _on_ladder(self, event: LadderFilled, envelope: Envelope[Event]) -> None:
        holding = self.holdings.get(event.trade_id)
        if holding is not None:
            holding.hold(event.direction, event.quantity, envelope.occurred_at)
            self._stir(event.trade_id)

    def _on_end(self, event: TradeClosed | TradeAbandoned, envelope: Envelope[Event]) -> None:
        self._count(event, envelope)
        holding = self.holdings.get(event.trade_id)
        if holding is not None:
            holding.is_over = True
            self._stir(event.trade_id)
            self._let_go(holding)

    def _on_drift(self, event: PositionDrifted, envelope: Envelope[Event]) -> None:
        self.note_drift(event, envelope)
        for holding in self.held_by(event.account, event.symbol):
            self._stir(holding.trade)

    def _stir(self, trade: TradeId) -> None:
        if trade in self.holdings:
            self.restless[trade] = None

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
            self.trades.pop(order, None)
            self.at_market.pop(order, None)

    def _count(self, event: _Counted, envelope: Envelope[Event]) -> None:
        account = envelope.account
        if account is not None:
            state = self.last_hops.get(account, last_hop.LastHop())
            self.last_hops[account] = last_hop.fold(state, event, envelope.occurred_at)

    # -- orders -------------------------------------------------------------------------------------

    def _of_orders(self) -> dict[type[Event], Observer]:
        return {
            OrderIntentRecorded: self._on_intent,
            SubmitStarted: self._on_started,
            SubmitAccepted: self._on_outcome,
            SubmitRefused: self._on_outcome,
            SubmitUnknown: self._on_outcome,
            SubmitProvenAbsent: self._on_outcome,
            OrderFilled: self._on_outcome,
            CancelStarted: self._on_started,
            OrderCanceled: self._on_outcome,
            AmendStarted: self._on_started,
            OrderAmended: self._on_outcome,
            AmendRefused: self._on_outcome,
        }

    def _on_intent(self, event: OrderIntentRecorded, envelope: Envelope[Event]) -> None:
        holding = self.holdings.get(event.trade_id)
        if holding is not None:
            at, order = envelope.occurred_at, event.client_order_id
            holding.orders[order] = OrderNote(order, event.leg, at, at, event.side)
            self.trades[order] = event.trade_id
            self._count(event, envelope)
            if event.kind is OrderKind.MARKET:
                self.at_market[order] = at

    def _on_started(
        self, event: SubmitStarted | CancelStarted | AmendStarted, envelope: Envelope[Event]
    ) -> None:
        order = event.client_order_id
        holding = self.trade_of(order)
        if holding is None:
            return
        match event:
            case SubmitStarted():
                request = Request.SUBMIT
                holding.orders[order].deadline = event.deadline
            case CancelStarted():
                request = Request.CANCEL
            case AmendStarted():
                request = Request.AMEND
        self.unsettled[request, order] = Started(request, order, envelope.event_id, envelope.occurred_at)
        self._stir(holding.trade)

    def _on_outcome(self, event: Any, envelope: Envelope[Event]) -> None:
        order: ClientOrderId = event.client_order_id
        holding = self.trade_of(order)
        if holding is None:
            return
        if isinstance(event, OrderFilled):
            self.fills[holding.account, event.symbol, event.fill_id] = order
        match event:
            case SubmitAccepted():
                self.unsettled.pop((Request.SUBMIT, order), None)
                self._confirm(holding, holding.orders[order])
            case SubmitRefused() | SubmitProvenAbsent():
                self.unsettled.pop((Request.SUBMIT, order), None)
                self._end(holding, holding.orders[order], envelope)
            case OrderAmended() | AmendRefused():
                self.unsettled.pop((Request.AMEND, order), None)
            case OrderFilled(complete=True) | OrderCanceled():
                self._end(holding, holding.orders[order], envelope)
            case _:
                pass
        self._stir(holding.trade)
        self._let_go(holding)

    @staticmethod
    def _confirm(holding: Holding, note: OrderNote) -> None:
        if note.leg is Leg.STOP and not note.has_ended:
            holding.stops.add(note.order)
            if holding.is_covered:
                holding.bare_since = None

    def _end(self, holding: Holding, note: OrderNote, envelope: Envelope[Event]) -> None:
        note.has_ended = True
        self.at_market.pop(note.order, None)
        self.unsettled.pop((Request.CANCEL, note.order), None)
        if note.order in holding.stops:
            holding.stops.discard(note.order)
            if not holding.is_covered and not holding.is_flat:
                holding.bare_since = holding.bare_since or envelope.occurred_at
