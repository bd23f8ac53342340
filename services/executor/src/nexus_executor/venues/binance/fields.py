"""Fields of Binance's JSON, read strictly: money as Decimal from the text, times in UTC, nothing read as zero."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.values import Side, format_decimal
from nexus_executor.venues.private_stream import UnreadableFrame

__all__ = ["Row", "UnreadableFrame", "amount", "flag", "listed", "millis", "moment", "text"]

Row = dict[str, Any]
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT_MAX: Final = 253_402_300_799_999
_NUMBER: Final = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?")


def _value(row: Row, name: str) -> Any:
    value = row.get(name)
    if value is None:
        raise UnreadableFrame(f"no field {name}")
    return value


def text(row: Row, name: str) -> str:
    value = _value(row, name)
    if not isinstance(value, str) or not value or len(value) > 200:
        raise UnreadableFrame(f"field {name} is no text")
    return value


def amount(row: Row, name: str) -> Decimal:
    """A finite number, given as text or as a JSON number."""
    value = _value(row, name)
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise UnreadableFrame(f"field {name} is no number")
    spelled = format_decimal(value) if isinstance(value, Decimal) else str(value)
    if not _NUMBER.fullmatch(spelled):
        raise UnreadableFrame(f"field {name} is no number")
    return Decimal(spelled)


def positive(row: Row, name: str) -> Decimal:
    number = amount(row, name)
    if number <= 0:
        raise UnreadableFrame(f"field {name} is not above zero")
    return number


def whole(row: Row, name: str) -> int:
    number = amount(row, name)
    if number != number.to_integral_value():
        raise UnreadableFrame(f"field {name} is no whole number")
    return int(number)


def flag(row: Row, name: str) -> bool:
    value = _value(row, name)
    if not isinstance(value, bool):
        raise UnreadableFrame(f"field {name} is neither true nor false")
    return value


def moment(row: Row, name: str) -> datetime:
    """A time in milliseconds since 1970."""
    millis = whole(row, name)
    if not 0 < millis <= _MOMENT_MAX:
        raise UnreadableFrame(f"field {name} is no time")
    return EPOCH + timedelta(milliseconds=millis)


def millis(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


def side(row: Row, name: str) -> Side:
    value = text(row, name)
    if value not in ("BUY", "SELL"):
        raise UnreadableFrame(f"field {name} is no side")
    return Side(value.lower())


def nested(row: Row, name: str) -> Row:
    value = _value(row, name)
    if not isinstance(value, dict):
        raise UnreadableFrame(f"field {name} is no object")
    return value


def listed(value: Any) -> list[Row]:
    """A list of objects."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise UnreadableFrame("no list of objects")
    return value
