"""What rests on one instrument, and the band of prices inside which none of it can move."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from math import inf, nextafter

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_market.exchange.account import Account
from nexus_market.exchange.matching import level, trail_level, waits_below
from nexus_market.exchange.model import ZERO, OhlcvLike, Order

_INFINITY = Decimal("Infinity")


@dataclass(slots=True)
class Book:
    """Resting orders by age and the accounts that hold a position. `dirty`: the band must be found anew."""

    instrument: Instrument
    orders: dict[int, Order] = field(default_factory=dict)
    holders: dict[str, Account] = field(default_factory=dict)
    dirty: bool = True
    lower: Decimal = ZERO
    upper: Decimal = _INFINITY
    lower_float: float = 0.0
    upper_float: float = inf

    @property
    def empty(self) -> bool:
        return not self.orders and not self.holders

    def sleeps_through(self, bar: OhlcvLike) -> bool:
        """Whether the bar stays inside the band, so that nothing here trades or moves."""
        if self.dirty:
            self._find_band()
        low = bar.low
        if type(low) is float:
            return low > self.lower_float and bar.high < self.upper_float
        return low > self.lower and bar.high < self.upper

    @property
    def wants_open(self) -> bool:
        """Whether an order waits for the next open, as a market order."""
        if not self.dirty and self.lower_float != inf:
            return False
        return any(order.at_market for order in self.orders.values())

    def band(self) -> tuple[float, float]:
        """A bar with a low above the first and a high below the second leaves everything as it is."""
        if self.dirty:
            self._find_band()
        return self.lower_float, self.upper_float

    def _find_band(self) -> None:
        lower, upper = ZERO, _INFINITY
        for order in self.orders.values():
            below, above = _wakes(order)
            lower, upper = max(lower, below), min(upper, above)
        symbol = self.instrument.symbol
        for account in self.holders.values():
            position = account.positions[symbol]
            price = position.liquidation_price
            if price is None:
                continue
            if position.quantity > 0:
                lower = max(lower, price)
            else:
                upper = min(upper, price)
        self.lower, self.upper = lower, upper
        self.lower_float, self.upper_float = nextafter(float(lower), inf), nextafter(float(upper), 0.0)
        if upper.is_infinite():
            self.upper_float = inf
        self.dirty = False


def _wakes(order: Order) -> tuple[Decimal, Decimal]:
    """At or below the first price and at or above the second, the order trades or moves."""
    if order.at_market or order.drew_from_open_bar:
        return _INFINITY, ZERO
    if order.kind is not OrderKind.TRAILING_STOP:
        return (level(order), _INFINITY) if waits_below(order) else (ZERO, level(order))
    if order.trailing:
        stop = trail_level(order)
        return (stop, order.extreme) if order.side is Side.SELL else (order.extreme, stop)
    start = order.trigger_price or ZERO
    return (ZERO, start) if order.side is Side.SELL else (start, _INFINITY)
