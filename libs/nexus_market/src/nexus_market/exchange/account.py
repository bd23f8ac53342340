"""The money side: positions with isolated margin, the wallet, and the private stream of an account."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from nexus_common.contracts.instrument import Instrument
from nexus_market.exchange.model import ZERO, Order, Update, money


@dataclass(slots=True)
class Position:
    """What an account holds of one instrument in one-way mode; long quantities and costs are positive.

    `cost` is the signed value at entry, in exact decimals: every unit of it comes back as profit or loss
    when the position is closed. `margin` is set aside for this position alone.
    """

    instrument: Instrument
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    margin: Decimal = ZERO

    @property
    def entry_price(self) -> Decimal:
        return self.cost / self.quantity

    def unrealised(self, price: Decimal) -> Decimal:
        return self.quantity * price - self.cost

    def apply(self, signed: Decimal, price: Decimal, leverage: int) -> Decimal:
        """Take a fill (buys positive) and return the profit it realised; may pass through zero."""
        closing = ZERO
        if self.quantity * signed < 0:
            closing = max(signed, -self.quantity) if signed < 0 else min(signed, -self.quantity)
        realised = self._close(closing, price) if closing else ZERO
        opening = signed - closing
        if opening:
            self.quantity += opening
            self.cost += opening * price
            self.margin += money(abs(opening) * price / leverage)
        return realised

    def _close(self, signed: Decimal, price: Decimal) -> Decimal:
        if signed == -self.quantity:
            cost, margin = self.cost, self.margin
        else:
            part = abs(signed / self.quantity)
            cost, margin = money(self.cost * part), money(self.margin * part)
        self.quantity += signed
        self.cost -= cost
        self.margin -= margin
        return -signed * price - cost

    @property
    def liquidation_price(self) -> Decimal | None:
        """Where margin and open loss meet the maintenance margin; None when no price does."""
        maintenance = self.instrument.maintenance_margin
        if self.quantity > 0:
            price = (self.cost - self.margin) / (self.quantity * (1 - maintenance))
        else:
            price = (self.margin - self.cost) / (-self.quantity * (1 + maintenance))
        return price if price > 0 else None

    @property
    def bankruptcy_price(self) -> Decimal:
        """Where the margin is gone."""
        return (self.cost - self.margin) / self.quantity


@dataclass(slots=True)
class Account:
    """`epoch` is the newest holder's; `updates` is the private stream, number n at index n - 1."""

    name: str
    currency: str
    initial: Decimal
    wallet: Decimal
    epoch: int
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    positions: dict[str, Position] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    resting: dict[int, Order] = field(default_factory=dict)
    updates: list[Update] = field(default_factory=list)

    def held(self, symbol: str) -> Decimal:
        position = self.positions.get(symbol)
        return ZERO if position is None else position.quantity

    def book(self, *, realised: Decimal = ZERO, fee: Decimal = ZERO, funding: Decimal = ZERO) -> None:
        """Move the wallet; `funding` is what was paid."""
        self.realised += realised
        self.fees += fee
        self.funding += funding
        self.wallet += realised - fee - funding

    def available(self) -> Decimal:
        """What is neither margin of a position nor reserved by an order that may still open one."""
        free = self.wallet
        for position in self.positions.values():
            free -= position.margin
        for order in self.resting.values():
            if not order.reduces:
                price = order.ticket.limit_price or order.trigger_price or order.extreme
                free -= order.remaining * price / self.leverage.get(order.symbol, 1)
        return free
