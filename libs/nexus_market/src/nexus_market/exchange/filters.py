"""What the exchange refuses, with Binance's codes: one small rule each, first broken rule first."""

from __future__ import annotations

from decimal import Decimal

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_market.exchange.account import Account
from nexus_market.exchange.model import ZERO, Refused, Ticket
from nexus_market.instruments import notional, on_tick

_TRIGGERED = (OrderKind.STOP, OrderKind.TAKE_PROFIT)
# Binance USDT-M, New Algo Order: callbackRate from 0.1 % to 10 % in steps of 0.1 %.
_RATE_MIN = _RATE_STEP = Decimal("0.001")
_RATE_MAX = Decimal("0.1")


def refused_form(ticket: Ticket) -> Refused | None:
    """Fields that the kind of order needs."""
    if ticket.kind is OrderKind.LIMIT and ticket.limit_price is None:
        return Refused("-1102", "a limit order needs limit_price")
    if ticket.kind in _TRIGGERED and ticket.trigger_price is None:
        return Refused("-1102", f"a {ticket.kind} order needs trigger_price")
    if ticket.kind is OrderKind.TRAILING_STOP and not (ticket.trail_distance or ticket.trail_rate):
        return Refused("-1102", "a trailing stop needs trail_distance or trail_rate")
    if ticket.close_position and ticket.kind not in (*_TRIGGERED, OrderKind.TRAILING_STOP):
        return Refused("-4136", f"close_position goes with stops and take_profit, not with {ticket.kind}")
    return None


def refused_grid(ticket: Ticket, instrument: Instrument, price: Decimal) -> Refused | None:
    """Tick, step, smallest quantity and smallest notional; what reduces may be small."""
    for name in ("limit_price", "trigger_price", "trail_distance"):
        value = getattr(ticket, name)
        if value is not None and (value <= 0 or not on_tick(value, instrument)):
            return Refused("-1111", f"{name} {value} is not a positive multiple of {instrument.tick_size}")
    rate = ticket.trail_rate
    if rate is not None and not (_RATE_MIN <= rate <= _RATE_MAX and rate % _RATE_STEP == 0):
        return Refused("-4135", f"trail_rate {rate} is not a multiple of {_RATE_STEP} up to {_RATE_MAX}")
    if ticket.close_position:
        return None
    step = ticket.step or instrument.step_size
    if ticket.quantity <= 0 or ticket.quantity % step:
        return Refused("-1111", f"quantity {ticket.quantity} is not a positive multiple of {step}")
    if ticket.step is None and ticket.quantity < instrument.min_quantity:
        return Refused("-4004", f"quantity {ticket.quantity} is below {instrument.min_quantity}")
    value = notional(ticket.quantity, ticket.limit_price or ticket.trigger_price or price)
    if value < instrument.min_notional and not ticket.reduce_only:
        return Refused("-4164", f"notional {value} is below {instrument.min_notional} {instrument.quote}")
    return None


def refused_position(ticket: Ticket, held: Decimal) -> Refused | None:
    """What reduces needs something to reduce; a market order may close a position but not turn it round."""
    opposite = held < 0 if ticket.side is Side.BUY else held > 0
    if (ticket.reduce_only or ticket.close_position) and not opposite:
        return Refused("-2022", f"a reduce-only {ticket.side} finds no position to reduce (held: {held})")
    closes = ticket.kind is OrderKind.MARKET and opposite and not ticket.reduce_only
    if closes and ticket.quantity > abs(held):
        return Refused("flip", f"{ticket.quantity} would turn the position of {held}; close it first")
    return None


def refused_trigger(side: Side, kind: OrderKind, trigger: Decimal | None, price: Decimal) -> Refused | None:
    """A stop or take-profit on the wrong side of the market."""
    if kind not in _TRIGGERED or trigger is None:
        return None
    waits_below = (kind is OrderKind.STOP) == (side is Side.SELL)
    if price <= trigger if waits_below else price >= trigger:
        return Refused("-2021", f"trigger {trigger} would be reached at once, the market is at {price}")
    return None


def refused_margin(
    ticket: Ticket, account: Account, instrument: Instrument, price: Decimal, leverage: int
) -> Refused | None:
    """Leverage within the venue's bracket, and margin and fee for what the order may open."""
    if ticket.reduce_only or ticket.close_position:
        return None
    if not 1 <= leverage <= instrument.max_leverage:
        return Refused("-4028", f"leverage {leverage} is not within 1 and {instrument.max_leverage}")
    held = account.held(ticket.symbol)
    opening = ticket.quantity
    if (held < 0) == (ticket.side is Side.BUY):
        opening = max(ZERO, opening - abs(held))
    value = notional(opening, ticket.limit_price or ticket.trigger_price or price)
    needed = value / leverage + value * instrument.taker_fee
    free = account.available()
    if needed > free:
        return Refused("-2019", f"margin is insufficient: {needed:f} needed, {free:f} available")
    return None
