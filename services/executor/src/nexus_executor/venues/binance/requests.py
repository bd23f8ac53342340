"""Our orders in Binance's parameters: exact text, chosen here and nowhere else."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import format_decimal
from nexus_executor.venues.broker import OrderRequest

_HUNDRED: Final = Decimal(100)
_CONDITIONAL: Final = {
    OrderKind.STOP: "STOP_MARKET",
    OrderKind.TAKE_PROFIT: "TAKE_PROFIT_MARKET",
    OrderKind.TRAILING_STOP: "TRAILING_STOP_MARKET",
}
# Stops trigger on the mark price, targets on the last one.
_WORKING: Final = {
    OrderKind.STOP: "MARK_PRICE",
    OrderKind.TRAILING_STOP: "MARK_PRICE",
    OrderKind.TAKE_PROFIT: "CONTRACT_PRICE",
}

Params = dict[str, str]


class Inexpressible(ValueError):
    """Binance has no such order."""


def is_conditional(order: OrderRequest) -> bool:
    """Whether it lives at the algo service, with ids and lists of its own."""
    return order.kind in _CONDITIONAL


def is_urgent(order: OrderRequest) -> bool:
    """Exits and stops: what may use the last part of the rate limit."""
    return order.reduce_only or order.close_position or is_conditional(order)


def new_order(order: OrderRequest) -> Params:
    """Parameters of POST /fapi/v1/order or /fapi/v1/algoOrder; raises Inexpressible."""
    return _conditional(order) if is_conditional(order) else _plain(order)


def _plain(order: OrderRequest) -> Params:
    params = {
        "symbol": str(order.symbol),
        "side": order.side.upper(),
        "type": order.kind.upper(),
        "quantity": format_decimal(order.quantity),
        "newClientOrderId": str(order.client_order_id),
        "newOrderRespType": "RESULT",
    }
    if order.kind is OrderKind.LIMIT:
        if order.limit_price is None:
            raise Inexpressible("a limit order without a price")
        params |= {"price": format_decimal(order.limit_price), "timeInForce": "GTC"}
    if order.reduce_only:
        params["reduceOnly"] = "true"
    return params


def _conditional(order: OrderRequest) -> Params:
    params = {
        "algoType": "CONDITIONAL",
        "symbol": str(order.symbol),
        "side": order.side.upper(),
        "type": _CONDITIONAL[order.kind],
        "workingType": _WORKING[order.kind],
        "clientAlgoId": str(order.client_order_id),
    }
    trailing = order.kind is OrderKind.TRAILING_STOP
    if order.close_position and not trailing:
        params["closePosition"] = "true"
    else:
        params["quantity"] = format_decimal(order.quantity)
        if order.reduce_only or order.close_position:
            params["reduceOnly"] = "true"
    if trailing:
        return params | _trail(order)
    if order.trigger_price is None:
        raise Inexpressible(f"a {order.kind} order without a trigger")
    return params | {"triggerPrice": format_decimal(order.trigger_price)}


def _trail(order: OrderRequest) -> Params:
    """callbackRate is a percentage."""
    if order.trail_rate is None:
        raise Inexpressible("a trailing stop trails by a rate at Binance, not by a distance")
    params = {"callbackRate": format_decimal((order.trail_rate * _HUNDRED).normalize())}
    if order.trigger_price is not None:
        params["activatePrice"] = format_decimal(order.trigger_price)
    return params
