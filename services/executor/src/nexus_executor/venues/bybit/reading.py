"""JSON as Bybit sends it, without floats: a document, or a reason why it is none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from nexus_executor.venues.exact_json import exact_json
from nexus_executor.venues.private_stream import UnreadableFrame

Row = Mapping[str, Any]
_DIGITS_MAX = 40


def read_document(text: str | bytes) -> Row:
    """Raises UnreadableFrame for anything but a JSON object."""
    document = exact_json(text)
    if not isinstance(document, dict):
        raise UnreadableFrame("no JSON object")
    return document


def text_of(row: Row, name: str, *, empty: bool = False) -> str:
    """A string; raises UnreadableFrame when it is missing, or empty where it must not be."""
    value = row.get(name)
    if not isinstance(value, str) or not (value or empty):
        raise UnreadableFrame(f"{name} is missing or no text")
    return value


def whole_of(row: Row, name: str) -> int:
    """A whole number, as a number or as text."""
    value = row.get(name)
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) <= _DIGITS_MAX:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnreadableFrame(f"{name} is missing or no whole number")
    return value


def number_of(row: Row, name: str) -> Decimal:
    """An amount, which Bybit writes as text; raises UnreadableFrame for one that is missing or no number."""
    number = optional_number(row, name)
    if number is None:
        raise UnreadableFrame(f"{name} is missing")
    return number


def optional_number(row: Row, name: str) -> Decimal | None:
    """As `number_of`; None for an empty text, by which Bybit says that there is none."""
    value = row.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
    elif isinstance(value, str) and len(value) <= _DIGITS_MAX:
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise UnreadableFrame(f"{name} is no number") from None
    else:
        raise UnreadableFrame(f"{name} is no number")
    if not number.is_finite() or (number and not -30 < number.adjusted() < 30):
        raise UnreadableFrame(f"{name} is no finite number")
    return number


def positive_of(row: Row, name: str) -> Decimal:
    number = number_of(row, name)
    if number <= 0:
        raise UnreadableFrame(f"{name} is not positive")
    return number


def moment_of(row: Row, name: str) -> datetime:
    """A time in milliseconds."""
    ms = whole_of(row, name)
    try:
        return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    except (OverflowError, ValueError, OSError):
        raise UnreadableFrame(f"{name} is no time") from None


def rows_of(document: Row, name: str) -> list[Row]:
    rows = document.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnreadableFrame(f"{name} is no list of objects")
    return rows
