"""The door between floats, in which features are computed, and the decimals that events hold."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def decimal_of(number: Any) -> Decimal:
    """A computed figure, to 10 significant digits: what lies behind them says nothing."""
    return Decimal(format(float(number), ".10g"))


def candles_ago(count: int) -> str:
    """How long ago, in words."""
    return "in this candle" if count == 0 else f"{count} candle{'s' if count > 1 else ''} ago"
