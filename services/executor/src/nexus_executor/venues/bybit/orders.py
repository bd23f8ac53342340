"""Our orders as Bybit's requests: pure, one table of kinds.

| ours | Bybit's |
|---|---|
| MARKET, LIMIT | `order/create`, with orderLinkId |
| STOP that closes the position | `position/trading-stop`: stopLoss, mode Full, by mark price |
| STOP, TAKE_PROFIT of a quantity | conditional market order, reduce-only; stops by mark price, targets by last |
| TRAILING_STOP that closes the position | `position/trading-stop`: trailingStop, activePrice |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side, Symbol, format_decimal
from nexus_executor.venues.broker import OrderRequest
from nexus_executor.venues.bybit.messages import CATEGORY, spelled

RISES: Final = 1
FALLS: Final = 2
_SIDES: Final = {Side.BUY: "Buy", Side.SELL: "Sell"}
_TRIGGERED_BY: Final = {OrderKind.STOP: "MarkPrice", OrderKind.TAKE_PROFIT: "LastPrice"}


class NoSuchOrder(Exception):
    """Bybit has nothing that does what this order wants."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call of pybit's by name, with its parameters."""

    method: str
    params: Mapping[str, Any]


def is_attached(order: OrderRequest) -> bool:
    """Whether the order becomes the position's own stop, which has no id of ours."""
    return order.close_position and order.kind in (OrderKind.STOP, OrderKind.TRAILING_STOP)


def is_way_out(order: OrderRequest) -> bool:
    """Exits and stops may use what is left of the budget."""
    return order.reduce_only or order.close_position


def placing(order: OrderRequest) -> Request:
    """The one request that places it; raises NoSuchOrder."""
    if is_attached(order):
        return _attaching(order, order.trigger_price)
    params: dict[str, Any] = {
        "category": CATEGORY,
        "symbol": spelled(order.symbol),
        "side": _SIDES[order.side],
        "qty": format_decimal(order.quantity),
        "positionIdx": 0,
        "orderLinkId": order.client_order_id,
        "reduceOnly": is_way_out(order),
    }
    match order.kind:
        case OrderKind.MARKET:
            params |= {"orderType": "Market"}
        case OrderKind.LIMIT:
            params |= {"orderType": "Limit", "price": _given(order.limit_price, order), "timeInForce": "GTC"}
        case OrderKind.STOP | OrderKind.TAKE_PROFIT:
            params |= {
                "orderType": "Market",
                "triggerPrice": _given(order.trigger_price, order),
                "triggerDirection": _direction(order),
                "triggerBy": _TRIGGERED_BY[order.kind],
            }
        case OrderKind.TRAILING_STOP:
            raise NoSuchOrder("Bybit's trailing stop closes the whole position; close_position is not set")
    return Request("place_order", params)


def _direction(order: OrderRequest) -> int:
    """A stop waits behind the market, a target before it."""
    rises = (order.kind is OrderKind.STOP) == (order.side is Side.BUY)
    return RISES if rises else FALLS


def _attaching(order: OrderRequest, trigger_price: Decimal | None) -> Request:
    if order.kind is OrderKind.STOP:
        level = trigger_price
        if level is None:
            raise NoSuchOrder("a stop needs trigger_price")
        return trading_stop(order.symbol, stop_loss=level)
    if order.trail_distance is None:
        raise NoSuchOrder("Bybit trails at an amount of price: trail_distance")
    return trading_stop(order.symbol, trailing=order.trail_distance, activation=trigger_price)


def moving(order: OrderRequest, trigger_price: Decimal, quantity: Decimal | None) -> Request:
    """The request that moves it; a position's stop is set again."""
    if is_attached(order):
        return _attaching(order, trigger_price)
    return amending(order, trigger_price, quantity)


def amending(
    order: OrderRequest,
    trigger_price: Decimal | None,
    quantity: Decimal | None,
    price: Decimal | None = None,
) -> Request:
    """Change an order that has an id of ours; what is None stays."""
    changed = {"triggerPrice": trigger_price, "qty": quantity, "price": price}
    given = {name: format_decimal(number) for name, number in changed.items() if number is not None}
    return Request("amend_order", {**_named(order), **given})


def canceling(order: OrderRequest) -> Request:
    """The request that takes it off the book; 0 takes off a position's stop."""
    if not is_attached(order):
        return Request("cancel_order", _named(order))
    if order.kind is OrderKind.STOP:
        return trading_stop(order.symbol, stop_loss=Decimal(0))
    return trading_stop(order.symbol, trailing=Decimal(0))


def _named(order: OrderRequest) -> dict[str, Any]:
    return {"category": CATEGORY, "symbol": spelled(order.symbol), "orderLinkId": order.client_order_id}


def trading_stop(
    symbol: Symbol,
    *,
    stop_loss: Decimal | None = None,
    take_profit: Decimal | None = None,
    trailing: Decimal | None = None,
    activation: Decimal | None = None,
) -> Request:
    """Set (or, with 0, cancel) what belongs to the position; what is None stays as it is."""
    params: dict[str, Any] = {
        "category": CATEGORY,
        "symbol": spelled(symbol),
        "tpslMode": "Full",
        "positionIdx": 0,
    }
    if stop_loss is not None:
        params |= {"stopLoss": format_decimal(stop_loss), "slTriggerBy": "MarkPrice"}
    if take_profit is not None:
        params |= {"takeProfit": format_decimal(take_profit), "tpTriggerBy": "LastPrice"}
    if trailing is not None:
        params["trailingStop"] = format_decimal(trailing)
    if activation is not None:
        params["activePrice"] = format_decimal(activation)
    return Request("set_trading_stop", params)


def _given(price: Decimal | None, order: OrderRequest) -> str:
    if price is None:
        raise NoSuchOrder(f"a {order.kind} order needs its price")
    return format_decimal(price)
