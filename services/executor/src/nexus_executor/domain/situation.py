"""A trade and its orders at one moment, and what can be wanted of its venue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.order import Leg, OrderIntentRecorded
from nexus_common.contracts.values import ClientOrderId
from nexus_executor.domain.order import OrderState, OrderStatus
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade_state import TradeState
from nexus_executor.domain.traits import VenueTraits

_ZERO = Decimal(0)
_STANDING = frozenset({OrderStatus.PENDING, OrderStatus.WORKING})
_NEVER_STOOD = frozenset({OrderStatus.REFUSED, OrderStatus.ABSENT, OrderStatus.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Submit:
    intent: OrderIntentRecorded
    attempt: int


@dataclass(frozen=True, slots=True)
class Amend:
    """`quantity` is None where the order keeps its size."""

    order: ClientOrderId
    trigger_price: Decimal
    revision: int
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    order: ClientOrderId
    reason: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """The entry is over; nothing more of it will fill."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The stop cannot be had: flatten and say so."""

    detail: str


@dataclass(frozen=True, slots=True)
class Leave:
    """The market is already beyond where the stop was to be moved: do what the stop would have done."""

    detail: str


@dataclass(frozen=True, slots=True)
class WriteOff:
    """What is left cannot be sold: no order is so small, or the venue holds nothing of it any more."""

    quantity: Decimal
    why: str = "is too small for any order"


Action = Submit | Amend | Cancel | Abandon | Fail | Leave | WriteOff


@dataclass(frozen=True, slots=True)
class Placed:
    """An order of the trade and when its request was started."""

    order: ClientOrderId
    leg: Leg
    started_at: datetime
    state: OrderState

    @property
    def stands(self) -> bool:
        """Whether it is at the venue as far as is known, or on its way there."""
        return self.state.status in _STANDING

    @property
    def is_confirmed(self) -> bool:
        return self.state.status is OrderStatus.WORKING

    @property
    def unfilled(self) -> Decimal:
        return self.state.quantity - self.state.filled


@dataclass(frozen=True, slots=True)
class Situation:
    """A trade, its orders in the order they were wanted, and the moment. `legs` are those for what is held now.

    `entry_until` is until when its entry may be sent again, `bare_since` when it lost its last confirmed stop
    (or was entered), if it has none.
    """

    trade: TradeState
    orders: Sequence[Placed]
    instrument: Instrument
    traits: VenueTraits
    rules: ExecutionRules
    at: datetime
    entry_until: datetime | None = None
    bare_since: datetime | None = None
    legs: dict[Leg, list[Placed]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for placed in self.orders:
            if not self._is_of_other_side(placed):
                self.legs.setdefault(placed.leg, []).append(placed)

    def _is_of_other_side(self, placed: Placed) -> bool:
        """A way out of what a ladder held before it turned round."""
        intent, trade = placed.state.intent, self.trade
        if trade.ladder is None or intent is None or placed.leg not in (Leg.STOP, Leg.EXIT):
            return False
        return intent.side is not trade.direction.exit_side

    def attempts(self, leg: Leg) -> int:
        """How many orders of a leg there were, those of a ladder's other side among them."""
        return sum(placed.leg is leg for placed in self.orders)

    def of(self, leg: Leg) -> list[Placed]:
        return self.legs.get(leg, [])

    def standing(self, leg: Leg) -> list[Placed]:
        return [placed for placed in self.of(leg) if placed.stands]

    def live(self, leg: Leg) -> list[Placed]:
        return [placed for placed in self.of(leg) if self.may_stand(placed)]

    def filled(self, leg: Leg) -> Decimal:
        """What the orders of a leg have traded so far, all attempts together."""
        return sum((placed.state.filled for placed in self.of(leg)), _ZERO)

    def failures(self, leg: Leg) -> list[Placed]:
        """The last attempts of a leg that were refused, are absent, or nobody knows of; oldest first."""
        return list(takewhile(_never_stood, reversed(self.of(leg))))[::-1]

    def may_stand(self, placed: Placed) -> bool:
        """Whether an order stands at the venue, as far as one may count on it.

        One that nobody knows of counts for a few seconds only, where what takes its place is reduce-only, so
        that both of them together open nothing.
        """
        if placed.state.status is not OrderStatus.UNKNOWN:
            return placed.stands
        limit = timedelta(seconds=self.rules.unprotected_max_seconds)
        return not self.traits.reduces_only or self.at - placed.started_at <= limit


def _never_stood(placed: Placed) -> bool:
    return placed.state.status in _NEVER_STOOD
