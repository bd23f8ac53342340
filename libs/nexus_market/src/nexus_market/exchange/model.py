"""The words of the simulated exchange: bars, orders, answers, and the messages of a private stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import Side

ZERO = Decimal(0)
_CENT = Decimal("0.00000001")

Record = dict[str, Any]
"""One line of the ledger: `n`, `at`, `kind`, `account`, `symbol` and what belongs to the kind."""


def money(amount: Decimal) -> Decimal:
    """An amount as a venue books it, in units of 1e-8."""
    return amount.quantize(_CENT)


class StepRefused(Exception):
    """A step older than the last one, which has been traded on: steps only go forward."""


class Fenced(Exception):
    """A newer holder of this account has spoken: stop, it goes on there."""


class UnknownAccount(Exception):
    """No such account here, and nothing to open it with: give a balance."""


class OhlcvLike(Protocol):
    """A bar of Decimals or of floats; floats are taken at their shortest spelling."""

    @property
    def open(self) -> Decimal | float: ...
    @property
    def high(self) -> Decimal | float: ...
    @property
    def low(self) -> Decimal | float: ...
    @property
    def close(self) -> Decimal | float: ...
    @property
    def volume(self) -> Decimal | float: ...


class Ohlcv(NamedTuple):
    """A bar; volume is in contract units."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class FloatBar(NamedTuple):
    """A bar as a column store gives it."""

    open: float
    high: float
    low: float
    close: float
    volume: float


# By symbol; a mapping's key type is invariant, so `Any` lets plain strings and `Symbol` in.
Bars = Mapping[Any, OhlcvLike]
Rates = Mapping[Any, Decimal]


def exact(bar: OhlcvLike) -> Ohlcv:
    """The bar in Decimals."""
    if type(bar) is Ohlcv and type(bar.open) is Decimal:
        return bar
    return Ohlcv(*(_decimal(x) for x in (bar.open, bar.high, bar.low, bar.close, bar.volume)))


def _decimal(number: Decimal | float) -> Decimal:
    return number if type(number) is Decimal else Decimal(repr(number))


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """How the market treats our orders.

    A market or stop order pays `slippage_bps` of the price plus `slippage_ticks`, and up to `jitter_ticks`
    more, drawn from the seed. One order takes at most `volume_share` of a bar's volume. A liquidation costs
    `liquidation_fee` of the notional, never more than what is left of the margin.
    """

    seed: int = 0
    slippage_bps: Decimal = Decimal(1)
    slippage_ticks: int = 1
    jitter_ticks: int = 0
    volume_share: Decimal = Decimal("0.10")
    liquidation_fee: Decimal = Decimal("0.0125")
    default_leverage: int = 1


class TicketLike(Protocol):
    """An order as it is sent; the executor's `OrderRequest` is one."""

    @property
    def client_order_id(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def side(self) -> Side: ...
    @property
    def kind(self) -> OrderKind: ...
    @property
    def quantity(self) -> Decimal: ...
    @property
    def limit_price(self) -> Decimal | None: ...
    @property
    def trigger_price(self) -> Decimal | None: ...
    @property
    def trail_distance(self) -> Decimal | None: ...
    @property
    def reduce_only(self) -> bool: ...
    @property
    def close_position(self) -> bool: ...
    @property
    def leverage(self) -> int | None: ...
    @property
    def trail_rate(self) -> Decimal | None: ...


class Ticket(NamedTuple):
    """An order as it is sent. A trailing stop's `trigger_price` is where it begins to trail, if not at once.

    It follows at `trail_distance` (an amount of price) or at `trail_rate` (a fraction of the best price).
    A stop with a `limit_price` becomes a limit order at its trigger. `step` is what this order's quantity is
    a multiple of where a venue trades finer than the instrument's step: fractions of a share.
    """

    client_order_id: str
    symbol: str
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
    step: Decimal | None = None


class Reuse(StrEnum):
    """What a client order id that was used before means to a venue."""

    SAME_ORDER = "same_order"  # the same order sent again is answered again, and stays one
    WHEN_CLOSED = "when_closed"  # refused while the first order is open, afterwards a new order
    NEVER = "never"  # refused for ever


def ticket_of(order: TicketLike) -> Ticket:
    return Ticket(
        order.client_order_id,
        order.symbol,
        order.side,
        order.kind,
        order.quantity,
        order.limit_price,
        order.trigger_price,
        order.trail_distance,
        order.reduce_only,
        order.close_position,
        order.leverage,
        order.trail_rate,
    )


class Status(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"


@dataclass(slots=True, eq=False)
class Order:
    """An accepted order. `triggered`: it is a market order by now. `extreme`: the best price since it trails.

    `placed_at` and `changed_at` are market times; `fill_value` is the sum of price times quantity.
    """

    number: int
    account: str
    ticket: Ticket
    trigger_price: Decimal | None
    filled: Decimal = ZERO
    fills: int = 0
    status: Status = Status.OPEN
    triggered: bool = False
    trailing: bool = False
    extreme: Decimal = ZERO
    # It has taken its share of the bar that is open now, so the close of that bar gives it no more.
    drew_from_open_bar: bool = False
    reason: str | None = field(default=None)
    placed_at: datetime | None = None
    changed_at: datetime | None = None
    fill_value: Decimal = ZERO

    @property
    def venue_order_id(self) -> str:
        return f"x{self.number}"

    @property
    def symbol(self) -> str:
        return self.ticket.symbol

    @property
    def side(self) -> Side:
        return self.ticket.side

    @property
    def kind(self) -> OrderKind:
        return self.ticket.kind

    @property
    def reduces(self) -> bool:
        return self.ticket.reduce_only or self.ticket.close_position

    @property
    def at_market(self) -> bool:
        return self.triggered or self.ticket.kind is OrderKind.MARKET

    @property
    def remaining(self) -> Decimal:
        return self.ticket.quantity - self.filled

    @property
    def average_price(self) -> Decimal | None:
        return self.fill_value / self.filled if self.filled else None


class Accepted(NamedTuple):
    venue_order_id: str


class Refused(NamedTuple):
    """Definite; `code` is Binance's number where it has one."""

    code: str
    reason: str


Reply = Accepted | Refused


class StepReply(NamedTuple):
    """What a step did: how many fills, and how long the ledger is now."""

    at: datetime
    fills: int
    records: int


class Update(NamedTuple):
    """One message of an account's private stream; the fields are those of the executor's `VenueUpdate`."""

    sequence: int
    at: datetime
    kind: str
    client_order_id: str | None = None
    symbol: str | None = None
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


class Holding(NamedTuple):
    """A position as the venue states it; signed quantity."""

    symbol: str
    quantity: Decimal
    entry_price: Decimal
    margin: Decimal
    liquidation_price: Decimal | None
