"""A trade in the executor's hands, with what a fold of its streams does not keep: event ids and times."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from nexus_common.contracts.order import Leg
from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.trade import Found, TradeProposed
from nexus_common.contracts.values import (
    AccountId,
    ClientOrderId,
    Direction,
    Mode,
    Profile,
    Side,
    Symbol,
    TradeId,
    UserId,
    Venue,
)


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
    started_at: datetime
    deadline: datetime
    side: Side
    has_ended: bool = False


@dataclass(slots=True)
class Holding:
    """`proposed` waits for its owner's answer; `is_over`: nothing is held, but orders may still stand.

    `found`: somebody made it by hand, and it was adopted. `since` is when it began, `valid_until` until when its
    verdict is. `stops` are those the venue has confirmed, `bare_since` the time since which there is none of them
    for what is held. A ladder's `direction` is that of what it holds, or held last; `is_flat`: it holds nothing now.
    """

    trade: TradeId
    account: AccountId
    venue: Venue
    symbol: Symbol
    direction: Direction
    correlation: UUID
    since: datetime
    proposed: TradeProposed | None = None
    is_over: bool = False
    filled_at: datetime | None = None
    valid_until: datetime | None = None
    bare_since: datetime | None = None
    is_ladder: bool = False
    is_flat: bool = False
    found: Found | None = None
    stops: set[ClientOrderId] = field(default_factory=set)
    orders: dict[ClientOrderId, OrderNote] = field(default_factory=dict)

    @property
    def is_covered(self) -> bool:
        """Whether a confirmed stop stands on the side of what is held."""
        return any(self.orders[stop].side is self.direction.exit_side for stop in self.stops)

    def hold(self, direction: Direction, quantity: Decimal, at: datetime) -> None:
        """A ladder holds this now; what covered the other side covers it no more."""
        was_held = not self.is_flat and self.filled_at is not None and direction is self.direction
        self.is_flat = not quantity
        if quantity:
            self.direction = direction
        if self.is_flat or self.is_covered:
            self.bare_since = None
        elif not was_held or self.bare_since is None:
            self.bare_since = at
        self.filled_at = at


@dataclass(frozen=True, slots=True)
class Session:
    user: UserId
    mode: Mode
    profile: Profile


@dataclass(frozen=True, slots=True)
class Account:
    spec: AccountSpec
    user: UserId
