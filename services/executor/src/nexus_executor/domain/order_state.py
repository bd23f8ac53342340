"""What is known of one order: facts, each kept once, and the status that is read from them.

Messages about an order arrive in any order and more than once (a fill before the answer to the request, an
answer found by a query after the fill): whatever the order of arrival, the same facts give the same state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from nexus_common.contracts.order import (
    AmendRefused,
    AmendStarted,
    CancelStarted,
    OrderAmended,
    OrderCanceled,
    OrderEvent,
    OrderFilled,
    OrderIntentRecorded,
    OrderTriggered,
    Outcome,
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
class Move:
    """Where a resting stop is to stand, and how much it is to cover (None: what it covers now)."""

    trigger_price: Decimal
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OrderState:
    """The facts of an order. `code` and `refusal` say why it was refused or is absent.

    `quantity` is its present size, `amending` the move under way, `refused_move` the one that was refused last,
    with its `move_code` and `move_refusal`.
    """

    intent: OrderIntentRecorded | None = None
    started: bool = False
    answer: Outcome | None = None
    venue_order_id: str = ""
    code: str = ""
    refusal: str = ""
    fills: frozenset[str] = _NO_FILLS
    filled: Decimal = _ZERO
    complete: bool = False
    canceled: bool = False
    canceling: bool = False
    triggered: bool = False
    trigger_price: Decimal | None = None
    quantity: Decimal = _ZERO
    revision: int = 0
    amending: Move | None = None
    refused_move: Move | None = None
    move_code: str = ""
    move_refusal: str = ""

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
    def has_traded(self) -> bool:
        """Whether something happened to the order that only happens to one the venue has."""
        return bool(self.fills) or self.canceled or self.triggered

    def would_exceed(self, fill_id: str, quantity: Decimal) -> bool:
        """Whether a fill is for more than the order could be filled by.

        A stop for the whole position grows with it; its quantity is only what was held when it was placed.
        A stop that is being made smaller may fill for its former size.
        """
        if self.intent is None or self.intent.close_position or fill_id in self.fills:
            return False
        return self.filled + quantity > max(self.quantity, self.intent.quantity)

    @property
    def is_answered(self) -> bool:
        """Whether it is settled if the venue took the order."""
        return self.answer is not None and self.answer is not Outcome.UNKNOWN


def evolve(state: OrderState, event: OrderEvent) -> OrderState:
    match event:
        case OrderIntentRecorded():
            return replace(state, intent=event, trigger_price=event.trigger_price, quantity=event.quantity)
        case SubmitStarted():
            return replace(state, started=True)
        case SubmitAccepted():
            return replace(state, answer=Outcome.ACCEPTED, venue_order_id=event.venue_order_id)
        case SubmitRefused():
            refusal = f"{event.code} {event.reason}"
            return replace(state, answer=Outcome.REFUSED, code=event.code, refusal=refusal)
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
            return replace(state, amending=Move(event.trigger_price, event.quantity), revision=event.revision)
        case OrderAmended():
            quantity = state.quantity if event.quantity is None else event.quantity
            return replace(state, trigger_price=event.trigger_price, quantity=quantity, amending=None)
        case AmendRefused():
            return replace(
                state,
                refused_move=state.amending,
                amending=None,
                move_code=event.code,
                move_refusal=f"{event.code} {event.reason}",
            )
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
        answer=state.answer if state.answer is Outcome.ACCEPTED else None,
    )


def _arrived(answer: Outcome | None) -> Outcome | None:
    """What happens to an order at the venue proves that it arrived; only the venue's number is still open."""
    return None if answer is Outcome.UNKNOWN else answer
