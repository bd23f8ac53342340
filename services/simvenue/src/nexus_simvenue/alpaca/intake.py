"""What a request to place or replace an order must be, before anything is known of the account.

Rules and wording: docs.alpaca.markets "Placing Orders", "Fractional Trading" and the orders reference. `opg`,
`cls` and `fok` are documented but the engine has no auctions and cannot fill all or nothing: they are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from nexus_common.contracts.values import Side
from nexus_simvenue.alpaca.problems import BAD_FORMAT, DUPLICATE_ID, Problem, unprocessable

TYPES: Final = ("market", "limit", "stop", "stop_limit", "trailing_stop")
CLASSES: Final = ("", "simple", "bracket", "oco", "oto")
INTENTS: Final = ("buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close")
_TIMES_IN_FORCE: Final = ("day", "gtc", "ioc")
_CLIENT_ID_LENGTH: Final = 128
_PLACES: Final = 9
_FIELDS: Final = frozenset(
    (
        *("symbol", "qty", "notional", "side", "type", "time_in_force", "limit_price", "stop_price"),
        *("trail_price", "trail_percent", "extended_hours", "client_order_id", "order_class"),
        *("take_profit", "stop_loss", "position_intent"),
    )
)
_REPLACEABLE: Final = frozenset(
    ("qty", "time_in_force", "limit_price", "stop_price", "trail", "client_order_id")
)


@dataclass(frozen=True, slots=True)
class Exits:
    """The legs of a bracket, OCO or OTO order."""

    take_profit: Decimal | None = None
    stop: Decimal | None = None
    stop_limit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """An order as it is asked for."""

    symbol: str
    side: Side
    type: str
    time_in_force: str
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    extended_hours: bool = False
    client_order_id: str | None = None
    order_class: str = ""
    exits: Exits = Exits()
    position_intent: str | None = None

    @property
    def is_fractional(self) -> bool:
        return self.notional is not None or (self.qty is not None and self.qty % 1 != 0)

    @property
    def is_complex(self) -> bool:
        return self.order_class not in ("", "simple")


@dataclass(frozen=True, slots=True)
class Change:
    """What a replacement asks for."""

    qty: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    time_in_force: str | None = None
    client_order_id: str | None = None


def parse_order(body: str) -> Wish:
    """Raises Problem."""
    fields = _document(body, _FIELDS)
    if fields.get("qty") is not None and fields.get("notional") is not None:
        raise Problem(BAD_FORMAT, "only one of qty or notional is accepted")
    wish = Wish(
        symbol=_text(fields, "symbol") or "",
        side=_side(fields),
        type=_choice(fields, "type", TYPES),
        time_in_force=_choice(fields, "time_in_force", _TIMES_IN_FORCE),
        qty=_number(fields, "qty"),
        notional=_number(fields, "notional"),
        limit_price=_number(fields, "limit_price"),
        stop_price=_number(fields, "stop_price"),
        trail_price=_number(fields, "trail_price"),
        trail_percent=_number(fields, "trail_percent"),
        extended_hours=_flag(fields, "extended_hours"),
        client_order_id=_client_id(fields),
        order_class=_choice({"order_class": "", **fields}, "order_class", CLASSES),
        exits=_exits(fields),
        position_intent=_intent(fields),
    )
    for check in _CHECKS:
        check(wish)
    return wish


def parse_change(body: str) -> Change:
    """Raises Problem."""
    fields = _document(body, _REPLACEABLE)
    change = Change(
        qty=_number(fields, "qty"),
        limit_price=_price(_number(fields, "limit_price"), "limit_price"),
        stop_price=_price(_number(fields, "stop_price"), "stop_price"),
        trail=_number(fields, "trail"),
        time_in_force=None
        if fields.get("time_in_force") is None
        else _choice(fields, "time_in_force", _TIMES_IN_FORCE),
        client_order_id=_client_id(fields),
    )
    if change.qty is not None and change.qty % 1:
        raise unprocessable("qty must be integer")
    return change


# -- rules that need nothing but the request ----------------------------------------------------------


def _check_size(wish: Wish) -> None:
    if not wish.symbol:
        raise unprocessable("symbol is required")
    if wish.qty is None and wish.notional is None:
        raise unprocessable("qty or notional is required")
    for name in ("qty", "notional"):
        amount = getattr(wish, name)
        if amount is not None and -amount.as_tuple().exponent > _PLACES:
            raise unprocessable(f"{name} can have at most {_PLACES} decimal places")


def _check_prices(wish: Wish) -> None:
    by_legs = wish.order_class == "oco"
    needs = {
        "limit_price": wish.type in ("limit", "stop_limit") and not by_legs,
        "stop_price": wish.type in ("stop", "stop_limit"),
    }
    for name, needed in needs.items():
        price = getattr(wish, name)
        if needed and price is None:
            raise unprocessable(f"{wish.type} orders require a {name.replace('_', ' ')}")
        if price is not None and not needed and not by_legs:
            raise unprocessable(f"{wish.type} orders must not have {name}")
        _price(price, name)
    trails = (wish.trail_price is not None, wish.trail_percent is not None)
    if wish.type == "trailing_stop" and sum(trails) != 1:
        raise unprocessable("trailing stop orders must specify one of trail_percent or trail_price")
    if wish.type != "trailing_stop" and any(trails):
        raise unprocessable(f"{wish.type} orders must not have trail_price or trail_percent")


def _check_fraction(wish: Wish) -> None:
    if not wish.is_fractional:
        return
    if wish.time_in_force != "day":
        raise unprocessable("fractional orders must be DAY orders")
    if wish.is_complex:
        raise unprocessable("fractional orders must be simple orders")
    if wish.type == "trailing_stop":
        raise unprocessable("fractional orders must be market, limit, stop, or stop limit orders")


def _check_hours(wish: Wish) -> None:
    if wish.extended_hours and (wish.type != "limit" or wish.time_in_force != "day" or wish.is_complex):
        raise unprocessable("extended hours order must be DAY limit orders")
    if wish.type == "trailing_stop" and wish.time_in_force not in ("day", "gtc"):
        raise unprocessable("trailing stop orders must be DAY or GTC orders")
    if wish.type.startswith("stop") and wish.time_in_force == "ioc":
        raise unprocessable("invalid time_in_force for stop orders")


def _check_class(wish: Wish) -> None:
    exits, kind = wish.exits, wish.order_class
    if not wish.is_complex:
        if exits != Exits():
            raise unprocessable("take_profit and stop_loss go with bracket, oco and oto orders")
        return
    if wish.time_in_force not in ("day", "gtc"):
        raise unprocessable(f"{kind} orders must be DAY or GTC orders")
    if wish.type not in ("market", "limit"):
        raise unprocessable(f"{kind} orders must be entered with a market or limit order")
    if kind == "oco" and wish.type != "limit":
        raise unprocessable("oco orders must be limit orders")
    if kind in ("bracket", "oco") and exits.take_profit is None:
        raise unprocessable(f"{kind} orders require take_profit.limit_price")
    if kind in ("bracket", "oco") and exits.stop is None:
        raise unprocessable(f"{kind} orders require stop_loss.stop_price")
    if kind == "oto" and (exits.take_profit is None) == (exits.stop is None):
        raise unprocessable("oto orders require either take_profit or stop_loss")
    if exits.take_profit is None or exits.stop is None:
        return
    sells = (wish.side is Side.BUY) != (kind == "oco")
    if exits.take_profit <= exits.stop if sells else exits.take_profit >= exits.stop:
        order = "greater than" if sells else "less than"
        raise unprocessable(f"take_profit.limit_price must be {order} stop_loss.stop_price")


_CHECKS: Final = (_check_size, _check_prices, _check_fraction, _check_hours, _check_class)


# -- fields -------------------------------------------------------------------------------------------


def _document(body: str, known: frozenset[str]) -> dict[str, Any]:
    try:
        fields = json.loads(body, parse_float=Decimal)
    except ValueError:
        raise Problem(BAD_FORMAT, "request body format is invalid") from None
    if not isinstance(fields, dict):
        raise Problem(BAD_FORMAT, "request body format is invalid")
    unknown = sorted(set(fields) - known)
    if unknown:
        raise Problem(BAD_FORMAT, f"request body has unknown fields: {', '.join(unknown)}")
    return fields


def _number(fields: Mapping[str, Any], name: str) -> Decimal | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        number = Decimal(value) if isinstance(value, str | int | Decimal) else None
    except InvalidOperation:
        number = None
    if number is None or isinstance(value, bool) or not number.is_finite():
        raise unprocessable(f"{name} must be a number")
    if number <= 0:
        raise unprocessable(f"{name} must be > 0")
    return number


def _price(price: Decimal | None, name: str) -> Decimal | None:
    """Two places from 1 dollar on, four below."""
    if price is None:
        return None
    places = 2 if price >= 1 else 4
    if price != round(price, places):
        raise unprocessable(
            f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria"
        )
    return price


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise Problem(BAD_FORMAT, "request body format is invalid")
    return value


def _choice(fields: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = _text(fields, name)
    if value is None and name != "order_class":
        raise unprocessable(f"{name} is required")
    if (value or "") not in allowed:
        raise unprocessable(f"invalid {name}")
    return value or ""


def _side(fields: Mapping[str, Any]) -> Side:
    return Side(_choice(fields, "side", ("buy", "sell")))


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if value not in (True, False, None, "true", "false"):
        raise unprocessable(f"{name} must be a boolean")
    return value in (True, "true")


def _client_id(fields: Mapping[str, Any]) -> str | None:
    value = _text(fields, "client_order_id")
    if value is not None and len(value) > _CLIENT_ID_LENGTH:
        raise Problem(
            DUPLICATE_ID, f"client_order_id must be no more than {_CLIENT_ID_LENGTH} characters", status=422
        )
    return value or None


def _intent(fields: Mapping[str, Any]) -> str | None:
    return None if fields.get("position_intent") is None else _choice(fields, "position_intent", INTENTS)


def _exits(fields: Mapping[str, Any]) -> Exits:
    profit, loss = fields.get("take_profit") or {}, fields.get("stop_loss") or {}
    for leg, known in ((profit, {"limit_price"}), (loss, {"stop_price", "limit_price"})):
        if not isinstance(leg, dict) or set(leg) - known:
            raise Problem(BAD_FORMAT, "request body format is invalid")
    return Exits(
        _price(_number(profit, "limit_price"), "take_profit.limit_price"),
        _price(_number(loss, "stop_price"), "stop_loss.stop_price"),
        _price(_number(loss, "limit_price"), "stop_loss.limit_price"),
    )
