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

    `reached` are the legs of targets whose price was reached where no order can rest for them.
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

    @property
    def terms(self) -> TradeAdmitted:
        if self.admitted is None:
            raise InvariantBroken(f"a trade that is {self.phase} has no terms yet")
        return self.admitted

    @property
    def is_held(self) -> bool:
        return self.remaining > 0


def evolve(state: TradeState, event: TradeEvent) -> TradeState:
    match event:
        case TradeAlerted():
            return replace(state, phase=Phase.ALERTED)
        case TradeProposed():
            return replace(state, phase=Phase.PROPOSED, proposed=event)
        case TradeDeclined():
            return replace(state, phase=Phase.DECLINED)
        case TradeAdmitted():
            return replace(state, phase=Phase.ADMITTED, admitted=event)
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
            closed = state.remaining - event.quantity
            return replace(
                state,
                remaining=event.quantity,
                exit_value=state.exit_value + closed * event.price,
                exit_fees=state.exit_fees + event.fee,
                last_leg=event.leg,
            )
        case LadderFilled():
            return state
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
