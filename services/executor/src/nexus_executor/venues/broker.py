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


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a venue can do, so that nobody asks which venue it is.

    `conclusive_lookup`: a query by client order id tells for certain whether an order arrived, and no
    older request can arrive after it (a fencing epoch, or an expired receive window).
    """

    amend_stop: bool
    native_trailing: bool
    close_position_stop: bool
    conclusive_lookup: bool


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as it goes to the venue; prices and quantities already fit the instrument's filters."""

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


@dataclass(frozen=True, slots=True)
class VenueUpdate:
    """One message of an account's private stream. `sequence` counts 1, 2, 3 … per account without a hole.

    FILL: client_order_id, fill_id, quantity, price, fee, liquidity, complete, and the wallet after it.
    CANCELED: client_order_id, reason. TRIGGERED: client_order_id, price. BALANCE: wallet, change, reason.
    FUNDING: symbol, rate, change (negative: paid), wallet. LIQUIDATION: symbol, quantity, price, fee, wallet.
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


class VenueOrderStatus(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class VenueOrder:
    client_order_id: ClientOrderId
    venue_order_id: str
    symbol: Symbol
    side: Side
    kind: OrderKind
    status: VenueOrderStatus
    quantity: Decimal
    filled: Decimal
    trigger_price: Decimal | None


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
    """A venue we can trade on, for one account."""

    capabilities: Capabilities

    async def open(self, currency: str, balance: Decimal | None) -> Decimal:
        """Connect; a paper account is created with `balance` if it does not exist. Returns the wallet."""

    async def submit(self, order: OrderRequest) -> SubmitReply: ...

    async def cancel(self, order: ClientOrderId, symbol: Symbol) -> ChangeReply: ...

    async def amend(self, order: ClientOrderId, symbol: Symbol, trigger_price: Decimal) -> ChangeReply: ...

    async def lookup(self, order: ClientOrderId, symbol: Symbol) -> LookupReply: ...

    async def updates(self, after: int) -> Sequence[VenueUpdate]:
        """Private messages behind a sequence number, oldest first; raises VenueDown."""

    async def open_orders(self) -> Sequence[VenueOrder]: ...

    async def positions(self) -> Sequence[VenuePosition]: ...
