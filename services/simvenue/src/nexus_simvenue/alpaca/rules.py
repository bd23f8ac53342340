"""What Alpaca checks of an order against the account: wash trades, shares that are held, intent, short sales."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Final

from nexus_common.contracts.values import Side
from nexus_market.exchange import Refused
from nexus_simvenue.alpaca.intake import Wish
from nexus_simvenue.alpaca.problems import Problem, forbidden, unprocessable
from nexus_simvenue.alpaca.records import Record, State, number


class _Cross(Enum):
    NEVER = "always rejected"
    PRICES = "rejected if buy limit price >= sell limit price"


# docs.alpaca.markets "User Protection": whether an open order and a new one of the other side may meet. Both
# of these have prices: they are compared. Everything else of two sides is rejected.
_PRICED: Final = frozenset(("limit", "stop_limit"))


def _cross(existing: str, new: str) -> _Cross:
    return _Cross.PRICES if existing in _PRICED and new in _PRICED else _Cross.NEVER


def check_wash_trade(wish: Wish, open_orders: Iterable[Record]) -> None:
    """Complex orders and trailing stops are exceptions, on either side."""
    if wish.is_complex or wish.type == "trailing_stop":
        return
    for record in open_orders:
        other = record.wish
        if other.symbol != wish.symbol or other.side is wish.side or record.state is State.HELD:
            continue
        if other.is_complex or record.parent is not None or other.type == "trailing_stop":
            continue
        if _cross(other.type, wish.type) is _Cross.PRICES:
            buy, sell = (wish.limit_price, record.limit_price)
            if wish.side is Side.SELL:
                buy, sell = sell, buy
            if buy is not None and sell is not None and buy < sell:
                continue
        kind = {"stop": "stop", "market": "market"}.get(other.type, "limit")
        raise forbidden(
            "potential wash trade detected. use complex orders",
            existing_order_id=record.id,
            reject_reason=f"opposite side {kind} order exists",
        )


def inferred_intent(side: Side, held: Decimal) -> str:
    """Alpaca's own view of what an order does to the position."""
    if side is Side.BUY:
        return "buy_to_close" if held < 0 else "buy_to_open"
    return "sell_to_close" if held > 0 else "sell_to_open"


def check_intent(wish: Wish, held: Decimal) -> str:
    inferred = inferred_intent(wish.side, held)
    if wish.position_intent not in (None, inferred):
        raise unprocessable(
            f"position intent mismatch, inferred: {inferred}, specified: {wish.position_intent}"
        )
    return inferred


def held_for_orders(symbol: str, side: Side, open_orders: Iterable[Record]) -> tuple[Decimal, list[str]]:
    """How much open exits of this side hold, and which orders do; the legs of one group share theirs."""
    total, ids = Decimal(0), []
    for record in open_orders:
        if record.symbol != symbol or record.side is not side or record.shares_hold:
            continue
        if record.state is State.HELD or not record.intent.endswith("_close"):
            continue
        total += record.remaining
        ids.append(record.id)
    return total, ids


def check_available(symbol: str, side: Side, qty: Decimal, held: Decimal, open_orders: list[Record]) -> None:
    """An exit may not be larger than what is held and not held for other orders."""
    taken, ids = held_for_orders(symbol, side, open_orders)
    available = max(abs(held) - taken, Decimal(0))
    if qty > available:
        raise forbidden(
            f"insufficient qty available for order (requested: {number(qty)}, available: {number(available)})",
            available=number(available),
            existing_qty=number(abs(held)),
            held_for_orders=number(taken),
            related_orders=ids,
            symbol=symbol,
        )


def check_stop_price(side: Side, stop_price: Decimal | None, market: Decimal) -> None:
    if stop_price is None:
        return
    if stop_price >= market if side is Side.SELL else stop_price <= market:
        word = "less" if side is Side.SELL else "greater"
        raise unprocessable(
            f"stop price must be {word} than current price",
            market_price=number(market),
            stop_price=number(stop_price),
        )


_ENGINE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "-1111": "invalid qty or price increment",
        "-1102": "order is incomplete",
        "-4004": "qty is below the minimum",
        "-4108": "the asset has no trade price yet",
        "-4135": "trail_percent is not supported by the market",
    }
)


def engine_refusal(refused: Refused, cost: Decimal, buying_power: Decimal) -> Problem:
    """A refusal of the matching engine in Alpaca's words."""
    match refused.code:
        case "-2019":
            return forbidden(
                "insufficient buying power", buying_power=number(buying_power), cost_basis=number(cost)
            )
        case "-4164":
            return forbidden("cost basis must be >= minimal amount of order 1")
        case "-2022" | "flip":
            return forbidden(f"insufficient qty available for order ({refused.reason})")
        case "-4116":
            return Problem(40010001, "client_order_id must be unique")
        case "-1121":
            return unprocessable("asset not found")
        case code:
            return unprocessable(f"{_ENGINE.get(code, 'order refused')} ({refused.reason})")
