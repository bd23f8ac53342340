"""Fields of Alpaca's documents: there and of their kind, or UnreadableFrame says which is not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from nexus_common.contracts.values import Side
from nexus_executor.venues.private_stream import UnreadableFrame

Document = Mapping[str, Any]


def object_of(document: Document, name: str) -> Document:
    value = document.get(name)
    if not isinstance(value, dict):
        raise UnreadableFrame(f"{name} is missing")
    return value


def text_of(document: Document, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise UnreadableFrame(f"{name} is missing")
    return value


def optional_text(document: Document, name: str) -> str | None:
    return None if document.get(name) is None else text_of(document, name)


def side_of(document: Document) -> Side:
    side = text_of(document, "side")
    if side == "sell_short":
        return Side.SELL
    if side not in ("buy", "sell"):
        raise UnreadableFrame(f"unknown side {side:.40}")
    return Side(side)


def number_of(document: Document, name: str) -> Decimal | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise UnreadableFrame(f"{name} is not a number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise UnreadableFrame(f"{name} is not a number") from None
    if not number.is_finite():
        raise UnreadableFrame(f"{name} is not a finite number")
    return number


def positive_of(document: Document, name: str) -> Decimal:
    number = number_of(document, name)
    if number is None or number <= 0:
        raise UnreadableFrame(f"{name} is not above zero")
    return number


def moment_of(document: Document, *names: str) -> datetime:
    for name in names:
        if document.get(name) is not None:
            moment = optional_moment(document[name])
            if moment is not None:
                return moment
    raise UnreadableFrame(f"{names[0]} is missing")


def optional_moment(value: object) -> datetime | None:
    """A time in RFC 3339, with nanoseconds at times; a bare date is its midnight in UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None:
            raise ValueError(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnreadableFrame("a time is not readable") from None
