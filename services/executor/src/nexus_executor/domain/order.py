"""One order and the fence around its request: a state machine that only moves forward."""

from __future__ import annotations

from collections.abc import Sequence
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
from nexus_executor.domain.order_state import Move, OrderState, OrderStatus, evolve


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
            if state.canceled or state.complete or _never_lived(state):
                return ()
            _must_have_left(command, state, intent)
            return (OrderCanceled(client_order_id=intent.client_order_id, reason=command.reason),)
        case RecordTriggered():
            if state.triggered or _never_lived(state):
                return ()
            _must_have_left(command, state, intent)
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
    if state.answer is outcome or (outcome is Outcome.UNKNOWN and (state.is_answered or state.has_traded)):
        return ()
    if state.is_answered:
        raise InvariantBroken(
            f"order {intent.client_order_id} was {state.answer} and is now said to be {outcome}"
        )
    if outcome in (Outcome.REFUSED, Outcome.ABSENT) and state.has_traded:
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


def _never_lived(state: OrderState) -> bool:
    return state.answer in (Outcome.REFUSED, Outcome.ABSENT)


def _must_have_left(command: object, state: OrderState, intent: OrderIntentRecorded) -> None:
    if not state.started:
        raise InvariantBroken(
            f"{type(command).__name__} for order {intent.client_order_id}, which is {state.status}"
        )


def _fill(command: RecordFill, state: OrderState, intent: OrderIntentRecorded) -> Sequence[OrderEvent]:
    if command.fill_id in state.fills:
        return ()
    # Also one that was refused or proven absent: where money moved, what was concluded before was wrong.
    _must_have_left(command, state, intent)
    filled = state.filled + command.quantity
    if state.would_exceed(command.fill_id, command.quantity):
        size = max(state.quantity, intent.quantity)
        raise InvariantBroken(f"order {intent.client_order_id} was filled to {filled}, beyond its {size}")
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
            complete=command.complete or (filled == state.quantity and not intent.close_position),
        ),
    )


def _amend(
    command: StartAmend | RecordAmended | RecordAmendRefused, state: OrderState, intent: OrderIntentRecorded
) -> Sequence[OrderEvent]:
    order = intent.client_order_id
    if isinstance(command, StartAmend):
        if state.status is not OrderStatus.WORKING or state.amending is not None:
            raise InvariantBroken(f"order {order} is {state.status} or being moved; it cannot be moved now")
        started = AmendStarted(
            client_order_id=order,
            trigger_price=command.trigger_price,
            revision=state.revision + 1,
            quantity=command.quantity,
        )
        return (started,)
    if command.revision > state.revision:
        raise InvariantBroken(f"move {command.revision} of order {order} was never started")
    if command.revision < state.revision or state.amending is None:
        return ()
    if isinstance(command, RecordAmended):
        moved = OrderAmended(
            client_order_id=order,
            trigger_price=state.amending.trigger_price,
            revision=command.revision,
            quantity=state.amending.quantity,
        )
        return (moved,)
    return (
        AmendRefused(
            client_order_id=order, revision=command.revision, code=command.code, reason=command.reason
        ),
    )


ORDER: Decider[OrderCommand, OrderState, OrderEvent] = Decider("order", OrderState(), decide, evolve)

__all__ = ["ORDER", "Move", "OrderState", "OrderStatus", "decide", "evolve"]
