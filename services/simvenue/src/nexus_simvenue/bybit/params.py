"""Which parameters an endpoint takes, as documented: names, types, values; anything else is refused (10001)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from nexus_simvenue.bybit.codes import NotDone, wrong
from nexus_simvenue.wire.http import HttpRequest

_NUMBER = re.compile(r"^\d+(\.\d+)?$")
_LINK_ID = re.compile(r"^[A-Za-z0-9_-]{1,36}$")
Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Param:
    """`kind`: text, number (decimal text, not negative), integer, flag (boolean) or link (a client order id)."""

    kind: str = "text"
    required: bool = False
    values: tuple[Any, ...] = ()
    least: int | None = None
    most: int | None = None


_CATEGORY: Final = Param(required=True, values=("linear",))
_SYMBOL: Final = Param()
_TRIGGER_BY: Final = Param(values=("LastPrice", "IndexPrice", "MarkPrice"))
_ORDER_TYPE: Final = Param(values=("Market", "Limit"))
_NUMBER_PARAM: Final = Param("number")
_MODE: Final = Param(values=("Full", "Partial"))
_POSITION: Final = Param("integer", values=(0, 1, 2))
_TIME: Final = Param("integer", least=0)
_FILTER: Final = Param(values=("Order", "StopOrder", "tpslOrder", "OcoOrder", "BidirectionalTpslOrder"))
_CURSOR: Final = Param()


def _page(most: int) -> Param:
    return Param("integer", least=1, most=most)


_IDS: Final = {"orderId": Param(), "orderLinkId": Param()}
_TPSL: Final = {
    "takeProfit": _NUMBER_PARAM,
    "stopLoss": _NUMBER_PARAM,
    "tpTriggerBy": _TRIGGER_BY,
    "slTriggerBy": _TRIGGER_BY,
    "tpLimitPrice": _NUMBER_PARAM,
    "slLimitPrice": _NUMBER_PARAM,
    "tpOrderType": _ORDER_TYPE,
    "slOrderType": _ORDER_TYPE,
}
_LISTED: Final = {"category": _CATEGORY, "symbol": _SYMBOL, "baseCoin": Param(), "settleCoin": Param()}

CREATE: Final = {
    "category": _CATEGORY,
    "symbol": Param(required=True),
    "isLeverage": Param("integer", values=(0, 1)),
    "side": Param(required=True, values=("Buy", "Sell")),
    "orderType": Param(required=True, values=("Market", "Limit")),
    "qty": Param("number", required=True),
    "marketUnit": Param(values=("baseCoin", "quoteCoin")),
    "slippageToleranceType": Param(values=("TickSize", "Percent")),
    "slippageTolerance": _NUMBER_PARAM,
    "price": _NUMBER_PARAM,
    "triggerDirection": Param("integer", values=(1, 2)),
    "orderFilter": Param(values=("Order", "StopOrder", "tpslOrder")),
    "triggerPrice": _NUMBER_PARAM,
    "triggerBy": _TRIGGER_BY,
    "orderIv": Param(),
    "timeInForce": Param(values=("GTC", "IOC", "FOK", "PostOnly")),
    "positionIdx": _POSITION,
    "orderLinkId": Param("link"),
    **_TPSL,
    "reduceOnly": Param("flag"),
    "closeOnTrigger": Param("flag"),
    "smpType": Param(values=("None", "CancelMaker", "CancelTaker", "CancelBoth")),
    "mmp": Param("flag"),
    "tpslMode": _MODE,
}
AMEND: Final = {
    "category": _CATEGORY,
    "symbol": Param(required=True),
    **_IDS,
    "orderIv": Param(),
    "triggerPrice": _NUMBER_PARAM,
    "qty": _NUMBER_PARAM,
    "price": _NUMBER_PARAM,
    "tpslMode": _MODE,
    **{name: param for name, param in _TPSL.items() if not name.endswith("OrderType")},
    "triggerBy": _TRIGGER_BY,
}
CANCEL: Final = {
    "category": _CATEGORY,
    "symbol": Param(required=True),
    **_IDS,
    "orderFilter": _FILTER,
}
CANCEL_ALL: Final = {
    **_LISTED,
    "orderFilter": Param(values=("Order", "StopOrder")),
    "stopOrderType": Param(values=("Stop",)),
}
REALTIME: Final = {
    **_LISTED,
    **_IDS,
    "openOnly": Param("integer", values=(0, 1, 2)),
    "orderFilter": _FILTER,
    "limit": _page(50),
    "cursor": _CURSOR,
}
HISTORY: Final = {
    **_LISTED,
    **_IDS,
    "orderFilter": _FILTER,
    "orderStatus": Param(),
    "startTime": _TIME,
    "endTime": _TIME,
    "limit": _page(50),
    "cursor": _CURSOR,
}
EXECUTIONS: Final = {
    "category": _CATEGORY,
    "symbol": _SYMBOL,
    **_IDS,
    "baseCoin": Param(),
    "startTime": _TIME,
    "endTime": _TIME,
    "execType": Param(values=("Trade", "AdlTrade", "Funding", "BustTrade", "Delivery", "Settle")),
    "limit": _page(100),
    "cursor": _CURSOR,
}
POSITIONS: Final = {**_LISTED, "limit": _page(200), "cursor": _CURSOR}
LEVERAGE: Final = {
    "category": _CATEGORY,
    "symbol": Param(required=True),
    "buyLeverage": Param("number", required=True),
    "sellLeverage": Param("number", required=True),
}
SWITCH_MODE: Final = {
    "category": _CATEGORY,
    "symbol": _SYMBOL,
    "coin": Param(),
    "mode": Param("integer", required=True, values=(0, 3)),
}
TRADING_STOP: Final = {
    "category": _CATEGORY,
    "symbol": Param(required=True),
    "tpslMode": Param(required=True, values=("Full", "Partial")),
    "positionIdx": Param("integer", required=True, values=(0, 1, 2)),
    **_TPSL,
    "trailingStop": _NUMBER_PARAM,
    "activePrice": _NUMBER_PARAM,
    "tpSize": _NUMBER_PARAM,
    "slSize": _NUMBER_PARAM,
}
CLOSED_PNL: Final = {
    "category": _CATEGORY,
    "symbol": _SYMBOL,
    "startTime": _TIME,
    "endTime": _TIME,
    "limit": _page(100),
    "cursor": _CURSOR,
}
WALLET: Final = {"accountType": Param(required=True, values=("UNIFIED",)), "coin": Param()}
MARGIN_MODE: Final = {
    "setMarginMode": Param(required=True, values=("ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN"))
}
TRANSACTIONS: Final = {
    "accountType": Param(values=("UNIFIED",)),
    "category": Param(values=("linear",)),
    "currency": Param(),
    "baseCoin": Param(),
    "type": Param(),
    "transSubType": Param(),
    "startTime": _TIME,
    "endTime": _TIME,
    "limit": _page(50),
    "cursor": _CURSOR,
}
INSTRUMENTS: Final = {
    "category": _CATEGORY,
    "symbol": _SYMBOL,
    "status": Param(values=("PreLaunch", "Trading", "Delivering", "Closed")),
    "baseCoin": Param(),
    "symbolType": Param(),
    "limit": _page(1000),
    "cursor": _CURSOR,
}
TICKERS: Final = {"category": _CATEGORY, "symbol": _SYMBOL, "baseCoin": Param(), "expDate": Param()}
INTERVALS: Final = ("1", "5", "15", "60", "240")  # the venue has more; these are played
KLINE: Final = {
    "category": _CATEGORY,
    "symbol": Param(required=True),
    "interval": Param(required=True, values=INTERVALS),
    "start": _TIME,
    "end": _TIME,
    "limit": _page(1000),
}
RECENT_TRADES: Final = {
    "category": _CATEGORY,
    "symbol": Param(required=True),
    "baseCoin": Param(),
    "limit": _page(1000),
}
FUNDING: Final = {
    "category": _CATEGORY,
    "symbol": Param(required=True),
    "startTime": _TIME,
    "endTime": _TIME,
    "limit": _page(200),
}
RISK_LIMIT: Final = {"category": _CATEGORY, "symbol": _SYMBOL, "cursor": _CURSOR}
NOTHING: Final[Mapping[str, Param]] = {}


def read(request: HttpRequest, params: Mapping[str, Param]) -> Fields:
    """The request's parameters, checked: numbers as Decimal, integers as int, empty ones left out.

    Raises:
        NotDone: 10001 with the parameter that is wrong.
    """
    given = _given(request)
    for name in given:
        if name not in params:
            raise wrong(f"{name} is not a parameter of {request.path}")
    fields: dict[str, Any] = {}
    for name, param in params.items():
        value = given.get(name)
        if value is None or value == "":
            if param.required:
                raise wrong(f"{name} is required")
            continue
        fields[name] = _checked(name, value, param, in_query=request.method == "GET")
    return fields


def _given(request: HttpRequest) -> Mapping[str, Any]:
    if request.method == "GET":
        return request.query_fields()
    if not request.body:
        return {}
    try:
        document = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise NotDone(10001, "params error: the body is no JSON") from None
    if not isinstance(document, dict):
        raise wrong("the body is no JSON object")
    return document


def _checked(name: str, value: Any, param: Param, *, in_query: bool) -> Any:
    match param.kind:
        case "integer":
            value = _integer(name, value, in_query)
        case "flag":
            if not isinstance(value, bool):
                raise wrong(f"{name} is a boolean")
        case _:
            if not isinstance(value, str):
                raise wrong(f"{name} is a string")
            if param.kind == "number":
                value = _number(name, value)
            elif param.kind == "link" and not _LINK_ID.match(value):
                raise wrong(f"{name} takes up to 36 letters, digits, dashes and underscores")
    if param.values and value not in param.values:
        raise wrong(f"{name} {value} invalid")
    too_small = param.least is not None and value < param.least
    if too_small or (param.most is not None and value > param.most):
        raise wrong(f"{name} {value} out of range")
    return value


def _integer(name: str, value: Any, in_query: bool) -> int:
    if in_query and isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(f"{name} is an integer")
    return value


def _number(name: str, value: str) -> Decimal:
    if not _NUMBER.match(value):
        raise wrong(f"{name} {value} is not a number")
    try:
        return Decimal(value)
    except InvalidOperation:
        raise wrong(f"{name} {value} is not a number") from None
