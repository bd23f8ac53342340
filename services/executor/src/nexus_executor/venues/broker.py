"""What the executor asks of a venue, in our words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import ClientOrderId, Side, Symbol
from nexus_executor.domain.traits import VenueTraits


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as it goes to the venue; prices and quantities already fit the instrument's filters.

    A trailing stop has `trail_distance` (an amount of price) or `trail_rate` (a fraction: 0.012 is 1.2 %);
    its `trigger_price` is where it begins to trail, if not at once.
    """

    client_order_id: ClientOrderId
    symbol: Symbol
    side: Side
    kind: OrderKind
    quantity: Decimal
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    trail_distance: Decimal | None = None
    reduce_only: bool = False
    close_position: bool = False
    leverage: int | None = None
    trail_rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    venue_order_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Definite: the venue will never execute it."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows; ask before anything else."""

    reason: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The venue was asked and does not know the order."""

    evidence: str


SubmitReply = Accepted | Refused | Unknown
ChangeReply = Accepted | Refused | Unknown
LookupReply = Accepted | Refused | Absent | Unknown


class UpdateKind(StrEnum):
    FILL = "fill"
    CANCELED = "canceled"
    TRIGGERED = "triggered"
    BALANCE = "balance"
    FUNDING = "funding"
    LIQUIDATION = "liquidation"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class VenueUpdate:
    """One message of an account's private stream. `sequence` counts 1, 2, 3 … per account without a hole.

    FILL: client_order_id, fill_id, quantity, price, fee, liquidity, complete, and the wallet after it where the
    venue says so. CANCELED: client_order_id, reason. TRIGGERED: client_order_id, price. BALANCE: wallet, change,
    reason. FUNDING: symbol, change (negative: paid), and rate and wallet where the venue says them.
    LIQUIDATION: symbol, quantity, price, fee, wallet, reason (`liquidation`, `adl`, `settlement`).
    NOTICE: reason; something the owner must hear (key revoked, position mode changed, margin call).

    `key` is the message's identity at the venue: one that is told again after a restart or by a backfill has the
    same key. Absent, the sequence is the identity. `attached`: the order is the position's own stop
    (STOP or TRAILING_STOP), which has no client order id at the venue.
    """

    sequence: int
    at: datetime
    kind: UpdateKind
    client_order_id: ClientOrderId | None = None
    symbol: Symbol | None = None
    side: Side | None = None
    fill_id: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    liquidity: Liquidity | None = None
    complete: bool | None = None
    wallet: Decimal | None = None
    change: Decimal | None = None
    rate: Decimal | None = None
    reason: str | None = None
    key: str | None = None
    attached: OrderKind | None = None


class VenueOrderStatus(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """`client_order_id` is None for the position's own stop (`attached`)."""

    client_order_id: ClientOrderId | None
    venue_order_id: str
    symbol: Symbol
    side: Side
    kind: OrderKind
    status: VenueOrderStatus
    quantity: Decimal
    filled: Decimal
    trigger_price: Decimal | None
    attached: bool = False


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """Signed quantity: positive is long."""

    symbol: Symbol
    quantity: Decimal
    entry_price: Decimal


class VenueDown(Exception):
    """The venue does not answer; nothing can be said about its state."""


class Fenced(Exception):
    """A newer holder of this account has spoken to the venue: stop, it goes on there."""


class Broker(Protocol):
    """A venue we can trade on, for one account.

    `conclusive_lookup`: a query by client order id tells for certain whether an order arrived, at any time, and
    no older request can arrive after it (the simulated exchange's own protocol, fenced by epoch). Elsewhere
    found is found, but not found counts only after the request's receive window has passed.
    """

    @property
    def traits(self) -> VenueTraits: ...

    @property
    def conclusive_lookup(self) -> bool: ...

    async def open(self, currency: str, balance: Decimal | None) -> Decimal:
        """Connect, check the account's modes, listen; returns the wallet.

        A paper account is created with `balance` if it does not exist. Raises VenueDown or Fenced.
        """

    async def submit(self, order: OrderRequest, at: datetime) -> SubmitReply:
        """Send an order, once, signed with the time at which its start was recorded. Never raises."""

    async def cancel(self, order: OrderRequest) -> ChangeReply: ...

    async def amend(
        self, order: OrderRequest, trigger_price: Decimal, quantity: Decimal | None = None
    ) -> ChangeReply:
        """Move a resting stop, or give it another size; asked twice is as asked once."""

    async def lookup(self, order: OrderRequest) -> LookupReply:
        """What the venue knows of an order, whether it still stands or not."""

    async def updates(self, after: int) -> Sequence[VenueUpdate]:
        """Private messages behind a sequence number, oldest first; raises VenueDown.

        All that the venue had sent when this was called is in the answer.
        """

    async def backfill(self, since: datetime, symbols: Sequence[Symbol]) -> None:
        """Ask for everything that happened since then; what is new comes out of `updates`. Raises VenueDown."""

    async def open_orders(self) -> Sequence[VenueOrder]:
        """All that stands, whoever placed it; raises VenueDown."""

    async def positions(self) -> Sequence[VenuePosition]: ...

    async def close(self) -> None:
        """Give up connections."""
