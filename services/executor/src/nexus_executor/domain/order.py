"""One order and the fence around its request: a state machine that only moves forward.

Messages about an order arrive in any order and more than once (a fill before the answer to the request, an
answer found by a query after the fill), so the state is made of facts, each kept once, and the status is
read from them: whatever the order of arrival, the same facts give the same state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from nexus_common.contracts.decider import Decider, InvariantBroken
from nexus_common.contracts.order import (
    AmendRefused,
    AmendStarted,
    CancelStarted,
    OrderAmended,
    OrderCanceled,
    OrderCommand,
    OrderEvent,
    OrderFilled,
    OrderIntentRecorded,
    OrderTriggered,
    Outcome,
    RecordAmended,
    RecordAmendRefused,
    RecordCanceled,
    RecordFill,
    RecordIntent,
    RecordReply,
    RecordTriggered,
    ResolveSubmit,
    StartAmend,
    StartCancel,
    SubmitAccepted,
    SubmitProvenAbsent,
    SubmitRefused,
    SubmitStarted,
    SubmitUnknown,
)

_ZERO = Decimal(0)
_NO_FILLS: frozenset[str] = frozenset()


class OrderStatus(StrEnum):
    NEW = "new"
    PENDING = "pending"  # sent, or about to be; no answer yet
    UNKNOWN = "unknown"
    WORKING = "working"
    REFUSED = "refused"
    ABSENT = "absent"
    CANCELED = "canceled"
    FILLED = "filled"

    @property
    def has_ended(self) -> bool:
        return self in _ENDED


_ENDED = frozenset({OrderStatus.REFUSED, OrderStatus.ABSENT, OrderStatus.CANCELED, OrderStatus.FILLED})


@dataclass(frozen=True, slots=True)
class OrderState:
    """The facts of an order. `amending` is the revision under way, `refused_trigger` what was last refused."""

    intent: OrderIntentRecorded | None = None
    started: bool = False
    answer: Outcome | None = None
    venue_order_id: str = ""
    refusal: str = ""
    fills: frozenset[str] = _NO_FILLS
    filled: Decimal = _ZERO
    complete: bool = False
    canceled: bool = False
    canceling: bool = False
    triggered: bool = False
    trigger_price: Decimal | None = None
    revision: int = 0
    amending: Decimal | None = None
    refused_trigger: Decimal | None = None

    @property
    def status(self) -> OrderStatus:
        if self.complete:
            return OrderStatus.FILLED
        if self.canceled:
            return OrderStatus.CANCELED
        match self.answer:
            case Outcome.ACCEPTED:
                return OrderStatus.WORKING
            case Outcome.REFUSED:
                return OrderStatus.REFUSED
            case Outcome.ABSENT:
                return OrderStatus.ABSENT
            case Outcome.UNKNOWN:
                return OrderStatus.UNKNOWN
            case None if self.fills or self.triggered:
                return OrderStatus.WORKING
            case None:
                return OrderStatus.PENDING if self.started else OrderStatus.NEW
            case _:
                assert_never(self.answer)

    @property
    def is_answered(self) -> bool:
        """Whether it is settled if the venue took the order."""
        return self.answer is not None and self.answer is not Outcome.UNKNOWN


def decide(command: OrderCommand, state: OrderState) -> Sequence[OrderEvent]:
    if isinstance(command, RecordIntent):
        return _record_intent(command, state)
    intent = state.intent
    if intent is None:
        raise InvariantBroken(f"{type(command).__name__} for an order that was never wanted")
    match command:
        case RecordReply():
            return _answer(command, command.reason, state, intent)
        case ResolveSubmit():
            return _answer(command, command.evidence, state, intent)
        case RecordFill():
            return _fill(command, state, intent)
        case StartCancel():
            if state.status.has_ended or state.canceling:
                return ()
            return (CancelStarted(client_order_id=intent.client_order_id, reason=command.reason),)
        case RecordCanceled():
            if state.canceled or state.complete:
                return ()
            _must_be_possible(command, state, intent)
            return (OrderCanceled(client_order_id=intent.client_order_id, reason=command.reason),)
        case RecordTriggered():
            if state.triggered:
                return ()
            _must_be_possible(command, state, intent)
            return (OrderTriggered(client_order_id=intent.client_order_id, price=command.price),)
        case StartAmend() | RecordAmended() | RecordAmendRefused():
            return _amend(command, state, intent)
        case _:
            assert_never(command)


def _record_intent(command: RecordIntent, state: OrderState) -> Sequence[OrderEvent]:
    intent = command.intent
    if state.intent == intent:
        return ()
    if state.intent is not None:
        raise InvariantBroken(f"order {intent.client_order_id} is wanted twice with different terms")
    started = SubmitStarted(
        client_order_id=intent.client_order_id, attempt=command.attempt, deadline=command.deadline
    )
    return (intent, started)


def _answer(
    command: RecordReply | ResolveSubmit, reason: str, state: OrderState, intent: OrderIntentRecorded
) -> Sequence[OrderEvent]:
    if not state.started:
        raise InvariantBroken(f"an answer for order {intent.client_order_id}, which was never sent")
    outcome = command.outcome
    if state.answer is outcome or (outcome is Outcome.UNKNOWN and (state.is_answered or _proven(state))):
        return ()
    if state.is_answered:
        raise InvariantBroken(
            f"order {intent.client_order_id} was {state.answer} and is now said to be {outcome}"
        )
    if outcome in (Outcome.REFUSED, Outcome.ABSENT) and _proven(state):
        raise InvariantBroken(f"order {intent.client_order_id} traded and is now said to be {outcome}")
    order = intent.client_order_id
    match outcome:
        case Outcome.ACCEPTED:
            return (SubmitAccepted(client_order_id=order, venue_order_id=command.venue_order_id),)
        case Outcome.REFUSED:
            code = command.code if isinstance(command, RecordReply) else "lookup"
            return (SubmitRefused(client_order_id=order, code=code, reason=reason),)
        case Outcome.UNKNOWN:
            return (SubmitUnknown(client_order_id=order, reason=reason),)
        case Outcome.ABSENT:
            return (SubmitProvenAbsent(client_order_id=order, evidence=reason),)
        case _:
            assert_never(outcome)


def _proven(state: OrderState) -> bool:
    """Whether something happened to the order that only happens to one the venue has."""
    return bool(state.fills) or state.canceled or state.triggered


def _must_be_possible(command: object, state: OrderState, intent: OrderIntentRecorded) -> None:
    if not state.started or state.answer in (Outcome.REFUSED, Outcome.ABSENT):
        raise InvariantBroken(
            f"{type(command).__name__} for order {intent.client_order_id}, which is {state.status}"
        )


def _fill(command: RecordFill, state: OrderState, intent: OrderIntentRecorded) -> Sequence[OrderEvent]:
    if command.fill_id in state.fills:
        return ()
    _must_be_possible(command, state, intent)
    filled = state.filled + command.quantity
    # A stop for the whole position grows with it; its quantity is only what was held when it was placed.
    if not intent.close_position and filled > intent.quantity:
        raise InvariantBroken(
            f"order {intent.client_order_id} was filled to {filled}, beyond its {intent.quantity}"
        )
    return (
        OrderFilled(
            client_order_id=intent.client_order_id,
            trade_id=intent.trade_id,
            leg=intent.leg,
            symbol=intent.symbol,
            side=intent.side,
            fill_id=command.fill_id,
            quantity=command.quantity,
            price=command.price,
            fee=command.fee,
            liquidity=command.liquidity,
            complete=command.complete or (filled == intent.quantity and not intent.close_position),
        ),
    )


def _amend(
    command: StartAmend | RecordAmended | RecordAmendRefused, state: OrderState, intent: OrderIntentRecorded
) -> Sequence[OrderEvent]:
    order = intent.client_order_id
    if isinstance(command, StartAmend):
        if state.status is not OrderStatus.WORKING or state.amending is not None:
            raise InvariantBroken(f"order {order} is {state.status} or being moved; it cannot be moved now")
        revision = state.revision + 1
        return (AmendStarted(client_order_id=order, trigger_price=command.trigger_price, revision=revision),)
    if command.revision > state.revision:
        raise InvariantBroken(f"move {command.revision} of order {order} was never started")
    if command.revision < state.revision or state.amending is None:
        return ()
    if isinstance(command, RecordAmended):
        return (OrderAmended(client_order_id=order, trigger_price=state.amending, revision=command.revision),)
    return (
        AmendRefused(
            client_order_id=order, revision=command.revision, code=command.code, reason=command.reason
        ),
    )


def evolve(state: OrderState, event: OrderEvent) -> OrderState:
    match event:
        case OrderIntentRecorded():
            return replace(state, intent=event, trigger_price=event.trigger_price)
        case SubmitStarted():
            return replace(state, started=True)
        case SubmitAccepted():
            return replace(state, answer=Outcome.ACCEPTED, venue_order_id=event.venue_order_id)
        case SubmitRefused():
            return replace(state, answer=Outcome.REFUSED, refusal=f"{event.code} {event.reason}")
        case SubmitUnknown():
            return replace(state, answer=Outcome.UNKNOWN)
        case SubmitProvenAbsent():
            return replace(state, answer=Outcome.ABSENT, refusal=event.evidence)
        case OrderFilled():
            return _filled(state, event)
        case CancelStarted():
            return replace(state, canceling=True)
        case OrderCanceled():
            return replace(state, canceled=True, answer=_arrived(state.answer))
        case AmendStarted():
            return replace(state, amending=event.trigger_price, revision=event.revision)
        case OrderAmended():
            return replace(state, trigger_price=event.trigger_price, amending=None)
        case AmendRefused():
            return replace(state, refused_trigger=state.amending, amending=None)
        case OrderTriggered():
            return replace(state, triggered=True, answer=_arrived(state.answer))
        case _:
            assert_never(event)


def _filled(state: OrderState, event: OrderFilled) -> OrderState:
    return replace(
        state,
        fills=state.fills | {event.fill_id},
        filled=state.filled + event.quantity,
        complete=state.complete or event.complete,
        answer=_arrived(state.answer),
    )


def _arrived(answer: Outcome | None) -> Outcome | None:
    """What happens to an order at the venue proves that it arrived; only the venue's number is still open."""
    return None if answer is Outcome.UNKNOWN else answer


ORDER: Decider[OrderCommand, OrderState, OrderEvent] = Decider("order", OrderState(), decide, evolve)
