"""What is known of a trade: the fold of its stream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from nexus_common.contracts.decider import InvariantBroken
from nexus_common.contracts.trade import (
    ExitOrdered,
    FundingNoted,
    LadderFilled,
    ProtectionFailed,
    ProtectionSet,
    TargetReached,
    TradeAbandoned,
    TradeAdmitted,
    TradeAlerted,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
    TradeEvent,
    TradeProposed,
    TradeReduced,
)
from nexus_common.contracts.values import Direction
from nexus_executor.domain.ladder import LadderState, Slot

_ZERO = Decimal(0)


class Phase(StrEnum):
    NEW = "new"
    ALERTED = "alerted"
    PROPOSED = "proposed"
    DECLINED = "declined"
    ADMITTED = "admitted"  # wanted, nothing held yet
    OPEN = "open"
    CLOSED = "closed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class TradeState:
    """Entered quantities are cumulative; `remaining` is what is held now. Money in the quote currency.

    `reached` are the legs of targets whose price was reached where no order can rest for them. Of a `ladder`
    `quantity` is all that was bought and sold, and its entry never is complete: there is always more to fill.
    """

    phase: Phase = Phase.NEW
    proposed: TradeProposed | None = None
    admitted: TradeAdmitted | None = None
    opened_at: datetime | None = None
    quantity: Decimal = _ZERO
    average_price: Decimal = _ZERO
    entry_fees: Decimal = _ZERO
    entry_complete: bool = False
    remaining: Decimal = _ZERO
    exit_value: Decimal = _ZERO
    exit_fees: Decimal = _ZERO
    funding: Decimal = _ZERO
    last_leg: str = ""
    protection: ProtectionSet | None = None
    protections: int = 0
    reached: frozenset[str] = frozenset()
    exit: ExitOrdered | None = None
    was_unprotected: bool = False
    ladder: LadderState | None = None

    @property
    def terms(self) -> TradeAdmitted:
        if self.admitted is None:
            raise InvariantBroken(f"a trade that is {self.phase} has no terms yet")
        return self.admitted

    @property
    def is_held(self) -> bool:
        return self.remaining > 0

    @property
    def direction(self) -> Direction:
        """Of what is held: a ladder's turns round."""
        return (self.ladder and self.ladder.direction) or self.terms.direction


def evolve(state: TradeState, event: TradeEvent) -> TradeState:
    match event:
        case TradeAlerted():
            return replace(state, phase=Phase.ALERTED)
        case TradeProposed():
            return replace(state, phase=Phase.PROPOSED, proposed=event)
        case TradeDeclined():
            return replace(state, phase=Phase.DECLINED)
        case TradeAdmitted():
            ladder = None if event.ladder is None else LadderState(event.ladder)
            return replace(state, phase=Phase.ADMITTED, admitted=event, ladder=ladder)
        case TradeEntered():
            return replace(
                state,
                phase=Phase.OPEN,
                quantity=event.quantity,
                average_price=event.average_price,
                entry_fees=event.fees,
                entry_complete=event.complete,
                opened_at=event.opened_at,
                # What was added later is for the targets that were laid anew with it.
                reached=frozenset() if event.quantity > state.quantity else state.reached,
                remaining=state.remaining + event.quantity - state.quantity,
            )
        case ProtectionSet():
            return replace(state, protection=event, protections=state.protections + 1)
        case TradeReduced():
            return _reduced(state, event)
        case LadderFilled():
            return _ladder_filled(state, event)
        case FundingNoted():
            return replace(state, funding=state.funding + event.amount)
        case TargetReached():
            return replace(state, reached=state.reached | {event.leg})
        case ExitOrdered():
            return replace(state, exit=event)
        case ProtectionFailed():
            return replace(state, was_unprotected=True)
        case TradeClosed():
            return replace(state, phase=Phase.CLOSED, remaining=_ZERO)
        case TradeAbandoned():
            return replace(state, phase=Phase.ABANDONED)
        case _:
            assert_never(event)


def _reduced(state: TradeState, event: TradeReduced) -> TradeState:
    closed = state.remaining - event.quantity
    reduced = replace(
        state,
        remaining=event.quantity,
        exit_value=state.exit_value + closed * event.price,
        exit_fees=state.exit_fees + event.fee,
        last_leg=event.leg,
    )
    if state.ladder is None:
        return reduced
    ladder = state.ladder.traded(state.direction.exit_side, closed, event.price)
    return replace(reduced, ladder=ladder, quantity=ladder.turnover)


def _ladder_filled(state: TradeState, event: LadderFilled) -> TradeState:
    """How much filled is how far the position moved; its protection is the stop on its side."""
    if state.ladder is None:
        raise InvariantBroken(f"trade {event.trade_id} is no ladder, and a rung of it filled")
    moved = event.quantity * event.direction.sign - state.ladder.net
    ladder = state.ladder.after(Slot(event.rung, event.side), abs(moved), event.price)
    return replace(
        state,
        phase=Phase.OPEN,
        ladder=ladder,
        quantity=ladder.turnover,
        remaining=event.quantity,
        average_price=ladder.average_price,
        entry_fees=event.fees - state.exit_fees,
        opened_at=event.opened_at,
        protection=_stop_of(event),
        protections=state.protections + 1,
    )


def _stop_of(event: LadderFilled) -> ProtectionSet | None:
    if event.stop is None:
        return None
    return ProtectionSet(
        trade_id=event.trade_id,
        stop=event.stop,
        stop_quantity=event.quantity,
        first_target=None,
        second_target=None,
        trail_distance=None,
        trail_activation=None,
        reason="a rung filled",
    )
