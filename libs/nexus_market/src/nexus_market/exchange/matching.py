"""Whether, and at what price, a resting order trades on a closed bar.

A bar says nothing about the order of its prices, so what hurts comes first: stops before targets, and a
trailing stop's old level before the one that the same bar would have raised it to.
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import Side
from nexus_market.exchange.model import ExchangeSettings, Ohlcv, Order
from nexus_market.instruments import Toward, floor_quantity, round_price

_TEN_THOUSAND = Decimal(10_000)
_RANK = {
    OrderKind.MARKET: 0,
    OrderKind.STOP: 1,
    OrderKind.TRAILING_STOP: 2,
    OrderKind.TAKE_PROFIT: 3,
    OrderKind.LIMIT: 4,
}


class Hit(NamedTuple):
    """An order trades at this price of the market; `slips` says that it pays slippage on top."""

    price: Decimal
    liquidity: Liquidity
    slips: bool


def rank(order: Order) -> tuple[int, int]:
    """The order in which orders get their turn on one bar: at market, stops, targets, limits; then by age."""
    return (0 if order.triggered else _RANK[order.kind]), order.number


def waits_below(order: Order) -> bool:
    """Whether a falling price sets the order off."""
    return (order.kind is OrderKind.STOP) == (order.side is Side.SELL)


def level(order: Order) -> Decimal:
    """The price that sets off an order of any kind but market and trailing."""
    price = order.ticket.limit_price if order.kind is OrderKind.LIMIT else order.trigger_price
    if price is None:
        raise ValueError(f"order {order.venue_order_id} has no price to wait for")
    return price


def hit_at_open(order: Order, bar: Ohlcv) -> Hit | None:
    """At the open everything trades at the open: worse than a stop's trigger, better than a target."""
    if order.at_market:
        return Hit(bar.open, Liquidity.TAKER, slips=True)
    if order.kind is OrderKind.TRAILING_STOP:
        return Hit(bar.open, Liquidity.TAKER, slips=True) if _trail(order, bar.open) is not None else None
    reached = bar.open <= level(order) if waits_below(order) else bar.open >= level(order)
    return _hit(order, bar.open) if reached else None


def hit_within(order: Order, bar: Ohlcv) -> Hit | None:
    """Behind the open an order trades at its own price."""
    if order.kind is OrderKind.TRAILING_STOP:
        price = _trail_within(order, bar)
        return None if price is None else Hit(price, Liquidity.TAKER, slips=True)
    reached = bar.low <= level(order) if waits_below(order) else bar.high >= level(order)
    return _hit(order, level(order)) if reached else None


def _hit(order: Order, price: Decimal) -> Hit:
    maker = order.kind is OrderKind.LIMIT
    return Hit(price, Liquidity.MAKER if maker else Liquidity.TAKER, slips=order.kind is OrderKind.STOP)


def path(bar: Ohlcv) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """A bar as four ticks: open, the extreme nearer to it, the other one, close."""
    if bar.high - bar.open < bar.open - bar.low:
        return bar.open, bar.high, bar.low, bar.close
    return bar.open, bar.low, bar.high, bar.close


def trail_level(order: Order) -> Decimal:
    """Where a trailing stop stands now."""
    rate = order.ticket.trail_rate
    distance = order.extreme * rate if rate is not None else order.ticket.trail_distance or Decimal(0)
    return order.extreme - distance if order.side is Side.SELL else order.extreme + distance


def _trail(order: Order, tick: Decimal) -> Decimal | None:
    """Show a tick to a trailing stop: its level if that is reached, else it moves along."""
    selling = order.side is Side.SELL
    if not order.trailing:
        start = order.trigger_price
        if start is None or (tick >= start if selling else tick <= start):
            order.trailing, order.extreme = True, tick
        return None
    stop = trail_level(order)
    if tick <= stop if selling else tick >= stop:
        return stop
    order.extreme = max(order.extreme, tick) if selling else min(order.extreme, tick)
    return None


def _trail_within(order: Order, bar: Ohlcv) -> Decimal | None:
    if order.trailing:
        stop = trail_level(order)
        if bar.low <= stop if order.side is Side.SELL else bar.high >= stop:
            return stop
    for tick in path(bar)[1:]:
        stop_hit = _trail(order, tick)
        if stop_hit is not None:
            return stop_hit
    return None


def fill_price(order: Order, hit: Hit, instrument: Instrument, settings: ExchangeSettings) -> Decimal:
    """The price the order gets, on the grid and rounded against it; a limit is never passed."""
    buying = order.side is Side.BUY
    price = hit.price
    if hit.slips:
        shift = price * settings.slippage_bps / _TEN_THOUSAND
        shift += instrument.tick_size * (settings.slippage_ticks + _jitter(order, settings))
        price = price + shift if buying else price - shift
    price = round_price(price, instrument, Toward.UP if buying else Toward.DOWN)
    limit = order.ticket.limit_price
    if limit is None or order.kind is not OrderKind.LIMIT:
        return price
    return min(price, limit) if buying else max(price, limit)


def _jitter(order: Order, settings: ExchangeSettings) -> int:
    if settings.jitter_ticks == 0:
        return 0
    drawn = sha256(f"{settings.seed}/{order.number}/{order.fills}".encode()).digest()
    return int.from_bytes(drawn[:8]) % (settings.jitter_ticks + 1)


def available_volume(volume: Decimal, instrument: Instrument, settings: ExchangeSettings) -> Decimal:
    """What one order may take of a bar: its share of the volume, but one step where at least that traded."""
    share = floor_quantity(volume * settings.volume_share, instrument)
    if share == 0 and volume >= instrument.step_size:
        return instrument.step_size
    return share
