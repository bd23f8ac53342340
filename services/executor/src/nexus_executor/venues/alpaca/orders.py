"""An order in Alpaca's words, or why Alpaca would not have it. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import ClientOrderId, Side, format_decimal
from nexus_executor.venues.broker import OrderRequest, Refused

Fields = dict[str, str | dict[str, str]]

# An order that takes the place of another has an id of its own: our id, and which replacement it is.
_REPLACEMENT: Final = re.compile(r"^(?P<ours>.+)\.r(?P<number>[0-9]{1,4})$")


def our_id(client_order_id: str) -> ClientOrderId:
    """The id under which the executor knows an order, whichever replacement of it this is."""
    match = _REPLACEMENT.match(client_order_id)
    return ClientOrderId(match["ours"] if match else client_order_id)


def next_replacement(client_order_id: str) -> str:
    """`nx1abc` is followed by `nx1abc.r2`, that by `nx1abc.r3`."""
    match = _REPLACEMENT.match(client_order_id)
    number = int(match["number"]) if match else 1
    return f"{our_id(client_order_id)}.r{number + 1}"


def order_fields(order: OrderRequest) -> Fields | Refused:
    """The body of the request that places it.

    Whole shares rest until canceled; a fraction of a share lasts for the day, which is all that Alpaca has.
    There is no reduce-only: what reduces says that it closes, so that it is refused rather than turned into a
    position the other way.
    """
    fractional = order.quantity % 1 != 0
    if order.close_position:
        return Refused("no-close-position", "Alpaca's orders need a quantity")
    if fractional and order.side is Side.SELL and not order.reduce_only:
        return Refused("fractional-short", "Alpaca shorts whole shares only")
    if fractional and order.kind is OrderKind.TRAILING_STOP:
        return Refused("fractional-trail", "Alpaca's trailing stops need whole shares")
    prices = _prices(order)
    if isinstance(prices, Refused):
        return prices
    resting = order.kind is not OrderKind.MARKET and not fractional
    fields: Fields = {
        "symbol": str(order.symbol),
        "qty": format_decimal(order.quantity),
        "side": str(order.side),
        "time_in_force": "gtc" if resting else "day",
        "client_order_id": str(order.client_order_id),
        **prices,
    }
    if order.reduce_only:
        fields["position_intent"] = f"{order.side}_to_close"
    return fields


def _prices(order: OrderRequest) -> dict[str, str] | Refused:
    match order.kind:
        case OrderKind.MARKET:
            return {"type": "market"}
        case OrderKind.LIMIT if order.limit_price is not None:
            return {"type": "limit", "limit_price": format_decimal(order.limit_price)}
        case OrderKind.STOP if order.trigger_price is not None:
            return {"type": "stop", "stop_price": format_decimal(order.trigger_price)}
        case OrderKind.TAKE_PROFIT if order.trigger_price is not None:
            return {"type": "limit", "limit_price": format_decimal(order.trigger_price)}
        case OrderKind.TRAILING_STOP if order.trail_distance is not None:
            return {"type": "trailing_stop", "trail_price": format_decimal(order.trail_distance)}
        case OrderKind.TRAILING_STOP if order.trail_rate is not None:
            return {"type": "trailing_stop", "trail_percent": format_decimal(order.trail_rate * 100)}
        case _:
            return Refused("incomplete", f"a {order.kind} order lacks its price")


def bracket_fields(order: OrderRequest, take_profit: Decimal, stop_loss: Decimal) -> Fields | Refused:
    """An entry with both its exits, which wait at the venue until it is filled."""
    fields = order_fields(order)
    if isinstance(fields, Refused):
        return fields
    if order.kind not in (OrderKind.MARKET, OrderKind.LIMIT) or order.quantity % 1:
        return Refused("no-bracket", "a bracket is entered with a market or limit order for whole shares")
    return {
        **fields,
        # The exits have the entry's time in force: they shall outlive the day.
        "time_in_force": "gtc",
        "order_class": "bracket",
        "take_profit": {"limit_price": format_decimal(take_profit)},
        "stop_loss": {"stop_price": format_decimal(stop_loss)},
    }


def change_fields(kind: OrderKind, trigger_price: Decimal, quantity: Decimal | None, name: str) -> Fields:
    """The body of the request that replaces a resting order."""
    price = "limit_price" if kind in (OrderKind.TAKE_PROFIT, OrderKind.LIMIT) else "stop_price"
    fields: Fields = {price: format_decimal(trigger_price), "client_order_id": name}
    if quantity is not None:
        fields["qty"] = format_decimal(quantity)
    return fields
