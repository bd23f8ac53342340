"""Alpaca's rows of trades, quotes and bars, the same in streams and answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nexus_market.candles import from_millis
from nexus_simvenue.market.happenings import Print, Top

_EXCHANGE = "V"  # IEX
_TAPE = "C"


def number(text: str) -> float | int:
    """A JSON number as the venue writes them: whole ones without a point."""
    value = float(text)
    return int(value) if value.is_integer() else value


def rfc3339(at: int) -> str:
    """Milliseconds since the epoch; fractions of a second only where there are some."""
    return from_millis(at).strftime("%Y-%m-%dT%H:%M:%S") + (f".{at % 1_000:03}Z" if at % 1_000 else "Z")


def trade_row(trade: Print) -> dict[str, Any]:
    return {
        "i": trade.number,
        "x": _EXCHANGE,
        "p": number(trade.price),
        "s": number(trade.quantity),
        "c": ["@"],
        "z": _TAPE,
    }


def quote_row(top: Top) -> dict[str, Any]:
    return {
        "ax": _EXCHANGE,
        "ap": number(top.ask),
        "as": number(top.ask_quantity),
        "bx": _EXCHANGE,
        "bp": number(top.bid),
        "bs": number(top.bid_quantity),
        "c": ["R"],
        "z": _TAPE,
    }


def bar_row(figures: Sequence[str], trades: int | None) -> dict[str, Any]:
    """`figures`: open, high, low, close, volume. The mean of high, low and close stands for the average price."""
    opened, high, low, close, volume = map(number, figures)
    average = round((high + low + close) / 3, 6)
    return {"o": opened, "h": high, "l": low, "c": close, "v": volume, "n": trades, "vw": average}
