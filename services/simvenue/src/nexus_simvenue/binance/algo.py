"""Conditional orders: the algo service, with ids and lists of its own.

Source: New/Query/Cancel Algo Order, USDⓈ-M Futures; margin is not looked at before an order triggers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.order import OrderKind
from nexus_market.exchange import Refused, Ticket
from nexus_simvenue.binance.endpoints import Asked, Endpoint, Floor, Security
from nexus_simvenue.binance.errors import Wrong
from nexus_simvenue.binance.market import ALGO_ORDERS_MAX
from nexus_simvenue.binance.placing import Placing, generated
from nexus_simvenue.binance.sheets import ALGO_KINDS, Sheet, Terms

_NEW: Final = (
    *("algoType", "symbol", "side", "positionSide", "type", "timeInForce", "quantity", "price"),
    *("triggerPrice", "workingType", "priceMatch", "closePosition", "priceProtect", "reduceOnly"),
    *("activatePrice", "callbackRate", "clientAlgoId", "newOrderRespType", "selfTradePreventionMode"),
    "goodTillDate",
)
_NAMED: Final = ("algoId", "clientAlgoId")
_RATE_MIN, _RATE_MAX, _RATE_STEP = Decimal("0.1"), Decimal(10), Decimal("0.1")
_HUNDRED: Final = Decimal(100)
_WORKING_TYPES: Final = ("MARK_PRICE", "CONTRACT_PRICE")
TRAILING: Final = "TRAILING_STOP_MARKET"
_CLOSING: Final = ("STOP_MARKET", "TAKE_PROFIT_MARKET")


class AlgoOrders:
    def __init__(self, floor: Floor, placing: Placing) -> None:
        self._floor = floor
        self._placing = placing

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        trade, signed = Security.TRADE, Security.SIGNED
        listed = ("symbol", "algoId", "startTime", "endTime", "limit")
        return {
            ("POST", "/fapi/v1/algoOrder"): Endpoint(self._new, trade, 0, _NEW, is_order=True),
            ("GET", "/fapi/v1/algoOrder"): Endpoint(self._query, signed, 1, _NAMED),
            ("DELETE", "/fapi/v1/algoOrder"): Endpoint(self._cancel, trade, 1, _NAMED),
            ("GET", "/fapi/v1/openAlgoOrders"): Endpoint(
                self._open, signed, 1, ("symbol", "algoType", "algoId"), 40
            ),
            ("DELETE", "/fapi/v1/algoOpenOrders"): Endpoint(self._cancel_all, trade, 1, ("symbol",)),
            ("GET", "/fapi/v1/allAlgoOrders"): Endpoint(self._all, signed, 5, listed),
        }

    # -- a new one ----------------------------------------------------------------------------------

    def _new(self, asked: Asked) -> dict[str, Any]:
        ticket, terms, order_type = self._ticket(asked)
        self._check_room(asked, ticket, order_type)
        sheet = self._placing.place(asked, ticket, terms, order_type)
        return {**sheet.algo_row(), "algoStatus": "NEW", "actualOrderId": ""}

    def _ticket(self, asked: Asked) -> tuple[Ticket, Terms, str]:
        params = asked.params
        if params.needed("algoType") != "CONDITIONAL":
            raise Wrong(-1130, "algoType")
        order_type, symbol, side = params.needed("type"), params.symbol(), params.side()
        if order_type not in ALGO_KINDS:
            raise Wrong(-1116)
        params.one_of("newOrderRespType", ("ACK", "RESULT"), "ACK", -1136)
        params.one_of("timeInForce", ("GTC",), "GTC", -1115)
        instrument = self._floor.instrument(symbol)
        closes = params.flag("closePosition")
        if closes:
            self._check_closing(asked, order_type)
        position_side, reduce_only = self._placing.reduces(asked, side)
        terms = Terms(
            working_type=params.one_of("workingType", _WORKING_TYPES, "CONTRACT_PRICE", -4031),
            position_side=position_side,
            price_protect=params.flag("priceProtect"),
        )
        ticket = Ticket(
            params.client_id("clientAlgoId", generated(asked, self._floor)),
            symbol,
            side,
            ALGO_KINDS[order_type],
            Decimal(0) if closes else self._placing.quantity(asked, instrument),
            reduce_only=reduce_only and not closes,
            close_position=closes,
        )
        if order_type == TRAILING:
            return *self._trailing(asked, ticket, terms, instrument), order_type
        params.forbid(("activatePrice", "callbackRate"))
        ticket = ticket._replace(trigger_price=self._placing.price(asked, "triggerPrice", instrument))
        if order_type in _CLOSING:
            params.forbid(("price", "priceMatch"))
            return ticket, terms, order_type
        limit = self._placing.price(asked, "price", instrument)
        return ticket._replace(limit_price=limit), terms, order_type

    @staticmethod
    def _check_closing(asked: Asked, order_type: str) -> None:
        if order_type not in _CLOSING:
            raise Wrong(-4136, order_type, "true")
        if "quantity" in asked.params:
            raise Wrong(-4137)
        asked.params.forbid(("reduceOnly",))

    def _trailing(
        self, asked: Asked, ticket: Ticket, terms: Terms, instrument: Instrument
    ) -> tuple[Ticket, Terms]:
        asked.params.forbid(("triggerPrice", "price", "priceMatch"))
        rate = asked.params.number("callbackRate")
        if not _RATE_MIN <= rate <= _RATE_MAX or rate % _RATE_STEP:
            raise Wrong(-2007)
        start = None
        if "activatePrice" in asked.params:
            start = self._placing.price(asked, "activatePrice", instrument)
        market = self._floor.exchange.price(ticket.symbol)
        shown = start if start is not None else market
        terms = replace(terms, activate_price=shown, callback_rate=rate)
        return ticket._replace(trail_rate=rate / _HUNDRED, trigger_price=start), terms

    def _check_room(self, asked: Asked, ticket: Ticket, order_type: str) -> None:
        waiting = [s for s in self._waiting(asked) if s.order.symbol == ticket.symbol]
        if len(waiting) >= ALGO_ORDERS_MAX:
            raise Wrong(-4045)
        if any(sheet.client_id == ticket.client_order_id for sheet in waiting):
            raise Wrong(-4116)
        twins = (s for s in waiting if s.closes and s.order.side is ticket.side)
        if ticket.close_position and any(s.order_type == order_type for s in twins):
            raise Wrong(-4130)

    def _waiting(self, asked: Asked) -> list[Sheet]:
        book = self._floor.book(asked)
        return [s for s in book.sheets.values() if s.algo and s.is_open and not s.in_matching]

    # -- those that are there -----------------------------------------------------------------------

    def _query(self, asked: Asked) -> dict[str, Any]:
        return self._floor.find(asked, *_NAMED, -2013, algo=True).algo_row()

    def _cancel(self, asked: Asked) -> dict[str, Any]:
        sheet = self._floor.find(asked, *_NAMED, -2011, algo=True, hidden=True)
        self._withdraw(asked, sheet)
        return {
            "algoId": sheet.algo_id,
            "clientAlgoId": sheet.client_id,
            "code": "200",
            "msg": "success",
        }

    def _withdraw(self, asked: Asked, sheet: Sheet) -> None:
        if not sheet.is_open or sheet.in_matching:
            raise Wrong(-2011)
        epoch = self._floor.account(asked).epoch
        reply = self._floor.exchange.cancel(asked.account, epoch, sheet.client_id)
        self._floor.books.catch_up()
        if isinstance(reply, Refused):
            raise Wrong(-2011)

    def _cancel_all(self, asked: Asked) -> dict[str, Any]:
        symbol = asked.params.symbol()
        for sheet in self._waiting(asked):
            if sheet.order.symbol == symbol:
                self._withdraw(asked, sheet)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _open(self, asked: Asked) -> list[dict[str, Any]]:
        symbol, number = asked.params.symbol_if_given(), asked.params.integer("algoId")
        return [
            sheet.algo_row()
            for sheet in self._waiting(asked)
            if symbol in (None, sheet.order.symbol)
            and number in (None, sheet.algo_id)
            and self._floor.visible(sheet, asked.now)
        ]

    def _all(self, asked: Asked) -> list[dict[str, Any]]:
        symbol, limit = asked.params.symbol(), asked.params.integer("limit", 1, 1000) or 500
        rows = [s.algo_row() for s in self._floor.sheets(asked) if s.algo and s.order.symbol == symbol]
        first = asked.params.integer("algoId")
        if first is not None:
            return [row for row in rows if row["algoId"] >= first][:limit]
        start, end = asked.params.span(7, asked.now)
        rows = [row for row in rows if start <= row["createTime"] <= end]
        return rows[:limit] if "startTime" in asked.params else rows[-limit:]


def kind_of(order_type: str | None) -> str | None:
    """An order type in the words of fault rules."""
    if order_type in ("MARKET", "LIMIT"):
        return str(OrderKind(order_type.lower()))
    kind = ALGO_KINDS.get(order_type or "")
    return None if kind is None else str(kind)
