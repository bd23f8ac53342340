"""Figures and cards: a title, and below it labels with aligned values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from nexus_common.contracts.values import TradeId

_CENT = Decimal("0.01")
_FIGURE = re.compile(r"[+-]?[\d,]+(\.\d+)?")
Rows = Sequence[tuple[str, str]]


def figure(number: Decimal | None) -> str:
    """Plain digits in groups of three, without trailing zeros; a dash for what is not known."""
    if number is None:
        return "–"
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def average(price: Decimal | None) -> str:
    """A price averaged over fills, to eight significant digits."""
    return figure(None if price is None else Decimal(f"{price:.8g}"))


def money(amount: Decimal | None, *, signed: bool = False) -> str:
    """Two decimals; `signed` shows the plus of a gain."""
    if amount is None:
        return "–"
    rounded = amount.quantize(_CENT, ROUND_HALF_EVEN)
    if rounded == 0:
        return "0.00"
    return f"{rounded:+,f}" if signed else f"{rounded:,f}"


def ratio(number: Decimal) -> str:
    """Two decimals with sign: R multiples."""
    return money(number, signed=True)


def percent(fraction: Decimal, *, signed: bool = False) -> str:
    """A fraction as per cent with two decimals."""
    return f"{money(fraction * 100, signed=signed)} %"


def clock(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def short(trade: TradeId) -> str:
    """The part of a trade's id that people type."""
    return trade[:8]


def card(title: str, rows: Rows) -> str:
    """Labels to the left, figures aligned to the right, texts beside their labels."""
    if not rows:
        return title
    labels = max(len(label) for label, _ in rows)
    figures = max((len(found[0]) for _, value in rows if (found := _leading(value))), default=0)
    lines = [title]
    for label, value in rows:
        found = _leading(value)
        shown = f"{found[0]:>{figures}}{value[len(found[0]) :]}" if found else value
        lines.append(f"{label:<{labels}}  {shown}".rstrip())
    return "\n".join(lines)


def _leading(value: str) -> re.Match[str] | None:
    """A figure at the start of a value, alone or before its unit; dates and ids are texts."""
    found = _FIGURE.match(value)
    if found is None or (len(value) > found.end() and value[found.end()] != " "):
        return None
    return found


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if column == 0 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    )
