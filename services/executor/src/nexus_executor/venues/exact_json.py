"""JSON without floats, as every venue's documents are read."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn

from nexus_executor.venues.private_stream import UnreadableFrame


def exact_json(text: str | bytes) -> Any:
    """The document, fractions as Decimal; raises UnreadableFrame for what is no JSON (NaN and Infinity are not)."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError) as error:
        # The text itself may hold what no log should show, and the error carries it.
        raise UnreadableFrame(f"no JSON: {type(error).__name__}") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
