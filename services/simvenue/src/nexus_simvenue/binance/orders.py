"""Plain orders: /fapi/v1/order and what lists them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_market.exchange import Refused, Status, Ticket
from nexus_simvenue.binance.endpoints import Asked, Endpoint, Floor, Security
from nexus_simvenue.binance.errors import Wrong
from nexus_simvenue.binance.market import ORDERS_MAX
from nexus_simvenue.binance.placing import Placing, generated
from nexus_simvenue.binance.sheets import ALGO_KINDS, Sheet, Terms

_NEW: Final = (
    *("symbol", "side", "positionSide", "type", "timeInForce", "quantity", "reduceOnly", "price"),
    *("newClientOrderId", "newOrderRespType", "selfTradePreventionMode", "priceMatch", "goodTillDate"),
)
_NAMED: Final = ("symbol", "orderId", "origClientOrderId")
_LISTED: Final = ("symbol", "orderId", "startTime", "endTime", "limit")


class Orders:
    def __init__(self, floor: Floor, placing: Placing) -> None:
        self._floor = floor
        self._placing = placing

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        trade, signed = Security.TRADE, Security.SIGNED
        return {
            # Conditional parameters are read too, so that what comes with a conditional type is told -4120.
            ("POST", "/fapi/v1/order"): Endpoint(self._new, trade, 0, (*_NEW, *_CONDITIONAL), is_order=True),
            ("POST", "/fapi/v1/order/test"): Endpoint(self._test, trade, 0, (*_NEW, *_CONDITIONAL)),
            ("GET", "/fapi/v1/order"): Endpoint(self._query, signed, 1, _NAMED),
            ("DELETE", "/fapi/v1/order"): Endpoint(self._cancel, trade, 1, _NAMED),
            ("GET", "/fapi/v1/openOrder"): Endpoint(self._open_one, signed, 1, _NAMED),
            ("GET", "/fapi/v1/openOrders"): Endpoint(self._open, signed, 1, ("symbol",), 40),
            ("DELETE", "/fapi/v1/allOpenOrders"): Endpoint(self._cancel_all, trade, 1, ("symbol",)),
            ("GET", "/fapi/v1/allOrders"): Endpoint(self._all, signed, 5, _LISTED),
        }

    def _ticket(self, asked: Asked) -> tuple[Ticket, Terms, str]:
        params, order_type = asked.params, asked.params.needed("type")
        symbol, side = params.symbol(), params.side()
        if order_type in ALGO_KINDS:
            raise Wrong(-4120)
        if order_type not in ("MARKET", "LIMIT"):
            raise Wrong(-1116)
        params.forbid(_CONDITIONAL)
        params.one_of("newOrderRespType", ("ACK", "RESULT"), "ACK", -1136)
        instrument = self._floor.instrument(symbol)
        position_side, reduce_only = self._placing.reduces(asked, side)
        price: Decimal | None = None
        if order_type == "MARKET":
            params.forbid(("price", "timeInForce", "priceMatch", "goodTillDate"))
            time_in_force = "GTC"
        else:
            params.needed("timeInForce")
            time_in_force = params.one_of("timeInForce", ("GTC", "IOC", "GTX"), "GTC", -1115)
            price = self._placing.price(asked, "price", instrument)
            self._placing.percent_price(price, side, symbol)
        ticket = Ticket(
            params.client_id("newClientOrderId", generated(asked, self._floor)),
            symbol,
            side,
            OrderKind(order_type.lower()),
            self._placing.quantity(asked, instrument),
            limit_price=price,
            reduce_only=reduce_only,
        )
        return ticket, Terms(time_in_force, position_side=position_side), order_type

    def _new(self, asked: Asked) -> dict[str, Any]:
        ticket, terms, order_type = self._ticket(asked)
        if terms.time_in_force == "GTX" and self._would_take(ticket):
            raise Wrong(-5022)
        if order_type == "LIMIT" and len(self._standing(asked, ticket.symbol)) >= ORDERS_MAX:
            raise Wrong(-2025)
        sheet = self._placing.place(asked, ticket, terms, order_type)
        if terms.time_in_force == "IOC" and sheet.is_open:
            self._withdraw(asked, sheet)
        row = sheet.row()
        del row["time"]
        if asked.params.text("newOrderRespType") != "RESULT":
            row |= {"status": "NEW", "executedQty": "0", "cumQuote": "0", "avgPrice": "0"}
        return {**row, "cumQty": row["executedQty"]}

    def _test(self, asked: Asked) -> dict[str, Any]:
        self._ticket(asked)
        return {}

    def _would_take(self, ticket: Ticket) -> bool:
        market, limit = self._floor.exchange.price(ticket.symbol), ticket.limit_price
        if market is None or limit is None:
            return False
        return limit >= market if ticket.side is Side.BUY else limit <= market

    def _standing(self, asked: Asked, symbol: str | None) -> list[Sheet]:
        return [
            sheet
            for sheet in self._floor.sheets(asked)
            if sheet.in_matching and sheet.is_open and symbol in (None, sheet.order.symbol)
        ]

    def _query(self, asked: Asked) -> dict[str, Any]:
        asked.params.symbol()
        return self._found(asked, -2013)

    def _found(self, asked: Asked, code: int, only_open: bool = False) -> dict[str, Any]:
        own = self._own_order(asked)
        if own is not None and not only_open:
            return own
        sheet = self._floor.find(asked, "orderId", "origClientOrderId", code, algo=False)
        if only_open and not sheet.is_open:
            raise Wrong(code)
        return sheet.row()

    def _own_order(self, asked: Asked) -> dict[str, Any] | None:
        number, client = asked.params.integer("orderId"), asked.params.text("origClientOrderId")
        for order in self._floor.book(asked).own_orders:
            if order["orderId"] == number or order["clientOrderId"] == client:
                return order
        return None

    def _open_one(self, asked: Asked) -> dict[str, Any]:
        asked.params.symbol()
        return self._found(asked, -2013, only_open=True)

    def _open(self, asked: Asked) -> list[dict[str, Any]]:
        return [sheet.row() for sheet in self._standing(asked, asked.params.symbol_if_given())]

    def _cancel(self, asked: Asked) -> dict[str, Any]:
        asked.params.symbol()
        sheet = self._floor.find(asked, "orderId", "origClientOrderId", -2011, algo=False, hidden=True)
        if not sheet.is_open:
            raise Wrong(-2011)
        self._withdraw(asked, sheet)
        row = sheet.row()
        del row["time"]
        return {**row, "status": "CANCELED", "cumQty": row["executedQty"]}

    def _withdraw(self, asked: Asked, sheet: Sheet) -> None:
        epoch = self._floor.account(asked).epoch
        reply = self._floor.exchange.cancel(asked.account, epoch, sheet.client_id)
        self._floor.books.catch_up()
        if isinstance(reply, Refused) or sheet.order.status is not Status.CANCELED:
            raise Wrong(-2011)

    def _cancel_all(self, asked: Asked) -> dict[str, Any]:
        symbol = asked.params.symbol()
        for sheet in self._floor.book(asked).sheets.values():
            if sheet.in_matching and sheet.is_open and sheet.order.symbol == symbol:
                self._withdraw(asked, sheet)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _all(self, asked: Asked) -> list[dict[str, Any]]:
        """At most seven days a query; from an orderId on, whatever its age."""
        symbol, limit = asked.params.symbol(), asked.params.integer("limit", 1, 1000) or 500
        rows = [s.row() for s in self._floor.sheets(asked) if s.in_matching]
        rows = [r for r in [*rows, *self._floor.book(asked).own_orders] if r["symbol"] == symbol]
        first = asked.params.integer("orderId")
        if first is not None:
            return sorted((r for r in rows if r["orderId"] >= first), key=lambda r: int(r["orderId"]))[:limit]
        start, end = asked.params.span(7, asked.now)
        rows = sorted((r for r in rows if start <= r["time"] <= end), key=lambda r: (r["time"], r["orderId"]))
        return rows[:limit] if "startTime" in asked.params else rows[-limit:]


_CONDITIONAL: Final = (
    *("stopPrice", "closePosition", "activationPrice", "activatePrice", "callbackRate", "workingType"),
    *("priceProtect", "triggerPrice"),
)
