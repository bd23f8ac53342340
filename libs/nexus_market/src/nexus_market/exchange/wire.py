"""The exchange's words as JSON-ready dicts and back: one spelling for server, journal and clients."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import Side, format_decimal, format_instant
from nexus_market.exchange.model import (
    Bars,
    Ohlcv,
    OhlcvLike,
    Order,
    Rates,
    Ticket,
    TicketLike,
    Update,
    exact,
)

Payload = dict[str, Any]

_TICKET_NUMBERS = ("quantity", "limit_price", "trigger_price", "trail_distance", "trail_rate", "step")
_UPDATE_NUMBERS = ("quantity", "price", "fee", "wallet", "change", "rate")


def encode_bar(bar: OhlcvLike) -> list[str]:
    """`[open, high, low, close, volume]` as decimal text."""
    return [format_decimal(number) for number in exact(bar)]


def decode_bar(numbers: list[str]) -> Ohlcv:
    return Ohlcv(*map(Decimal, numbers))


def encode_step(
    at: datetime,
    bars: Bars,
    next_bars: Bars,
    funding: Rates,
) -> Payload:
    """The parameters of the server's method `step`."""
    return {
        "at": format_instant(at),
        "bars": {symbol: encode_bar(bar) for symbol, bar in bars.items()},
        "next_bars": {symbol: encode_bar(bar) for symbol, bar in next_bars.items()},
        "funding": {symbol: format_decimal(rate) for symbol, rate in funding.items()},
    }


def encode_ticket(order: TicketLike) -> Payload:
    """An order without what it leaves open."""
    fields = {name: getattr(order, name, None) for name in Ticket._fields}
    return {name: _plain(value) for name, value in fields.items() if value is not None and value is not False}


def decode_ticket(payload: Mapping[str, Any]) -> Ticket:
    """Raises KeyError, TypeError or ValueError (InvalidOperation included) when it is no order."""
    fields = dict(payload)
    for name in _TICKET_NUMBERS:
        if fields.get(name) is not None:
            fields[name] = finite(fields[name])
    return Ticket(**{**fields, "side": Side(fields["side"]), "kind": OrderKind(fields["kind"])})


def encode_update(update: Update) -> Payload:
    return {name: _plain(value) for name, value in update._asdict().items() if value is not None}


def decode_update(payload: Mapping[str, Any]) -> Update:
    fields = dict(payload)
    for name in _UPDATE_NUMBERS:
        if name in fields:
            fields[name] = Decimal(fields[name])
    fields["at"] = datetime.fromisoformat(fields["at"])
    if "side" in fields:
        fields["side"] = Side(fields["side"])
    if "liquidity" in fields:
        fields["liquidity"] = Liquidity(fields["liquidity"])
    return Update(**fields)


def encode_order(order: Order, held: Decimal) -> Payload:
    """A resting or past order; one that closes the position has its size (`held`, signed)."""
    quantity = abs(held) + order.filled if order.ticket.close_position else order.ticket.quantity
    return {
        "client_order_id": order.ticket.client_order_id,
        "venue_order_id": order.venue_order_id,
        "symbol": order.symbol,
        "side": str(order.side),
        "kind": str(order.kind),
        "status": str(order.status),
        "quantity": format_decimal(quantity),
        "filled": format_decimal(order.filled),
        "trigger_price": None if order.trigger_price is None else format_decimal(order.trigger_price),
    }


def finite(text: str | int) -> Decimal:
    """A decimal from JSON; no NaN, no infinity, no float."""
    if isinstance(text, float):
        raise TypeError(f"{text} is a float; amounts travel as text")
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(f"{text} is not a finite number")
    return number


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, datetime):
        return format_instant(value)
    return str(value) if isinstance(value, str) else value


def simulated_secret(account: str) -> str:
    """The API secret of a simulated account in its venue's own protocol; its key is the account's name."""
    return sha256(f"simulated secret of {account}".encode()).hexdigest()
