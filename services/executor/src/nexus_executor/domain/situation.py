"""A trade and its orders at one moment, and what can be wanted of its venue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.order import Leg, OrderIntentRecorded
from nexus_common.contracts.values import ClientOrderId
from nexus_executor.domain.order import OrderState, OrderStatus
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade_state import TradeState
from nexus_executor.domain.traits import VenueTraits


@dataclass(frozen=True, slots=True)
class Submit:
    intent: OrderIntentRecorded
    attempt: int


@dataclass(frozen=True, slots=True)
class Amend:
    order: ClientOrderId
    trigger_price: Decimal
    revision: int


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


Action = Submit | Amend | Cancel | Abandon | Fail | Leave


@dataclass(frozen=True, slots=True)
class Placed:
    """An order of the trade and when its request was started."""

    order: ClientOrderId
    leg: Leg
    started_at: datetime
    state: OrderState


@dataclass(frozen=True, slots=True)
class Situation:
    """A trade, its orders in the order they were wanted, and the moment."""

    trade: TradeState
    orders: Sequence[Placed]
    instrument: Instrument
    traits: VenueTraits
    rules: ExecutionRules
    at: datetime
    legs: dict[Leg, list[Placed]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for placed in self.orders:
            self.legs.setdefault(placed.leg, []).append(placed)

    def of(self, leg: Leg) -> list[Placed]:
        return self.legs.get(leg, [])

    def live(self, leg: Leg) -> list[Placed]:
        return [placed for placed in self.of(leg) if self.may_stand(placed)]

    def may_stand(self, placed: Placed) -> bool:
        """Whether an order stands at the venue, as far as one may count on it.

        One that nobody knows of counts for a few seconds only; what takes its place is reduce-only, so that
        both of them together open nothing.
        """
        status = placed.state.status
        if status is OrderStatus.UNKNOWN:
            limit = timedelta(seconds=self.rules.unprotected_max_seconds)
            return self.at - placed.started_at <= limit
        return status in (OrderStatus.PENDING, OrderStatus.WORKING)
