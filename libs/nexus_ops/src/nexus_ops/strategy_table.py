"""The table of strategies as users see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from typing import Any

from nexus_cortex.domain.regime import READINGS
from nexus_cortex.domain.strategies import STRATEGIES
from nexus_cortex.domain.strategies.strategy import Strategy
from nexus_ops.layout import folded


def strategy_rows() -> list[dict[str, Any]]:
    """One document a strategy, in the order of the table."""
    return [_row(strategy) for strategy in STRATEGIES.values()]


def strategy_lines(row: dict[str, Any]) -> Iterator[str]:
    """A strategy's document as text."""
    others = [each for each in row["timeframes"] if each != row["timeframe"]]
    also = f", or if moved {', '.join(others)}" if others else ", and no other"
    yield folded(row["description"])
    yield folded(f"timeframe   {row['timeframe']}{also}")
    yield folded(f"best in     {_called(row)}")
    yield folded(f"reads       {', '.join(row['features'])}")
    for name, value in row["parameters"].items():
        yield f"    {name:<20} {'-' if value is None else f'{value:g}'}"


def _called(row: dict[str, Any]) -> str:
    if not row["follows_regime"]:
        return "its own conditions: under auto it trades whatever the regime"
    return f"{', '.join(row['regimes'])}: under auto it trades while model or rules read that regime"


def _row(strategy: Strategy) -> dict[str, Any]:
    return {
        "name": strategy.name,
        "description": strategy.description,
        "timeframe": str(strategy.timeframe),
        "timeframes": [str(timeframe) for timeframe in strategy.timeframes],
        "follows_regime": strategy.bound_to_regime,
        "regimes": _regimes(strategy.name),
        "features": list(strategy.needs),
        "parameters": {
            field.name: _plain(getattr(strategy.parameters, field.name))
            for field in fields(strategy.parameters)
        },
    }


def _regimes(name: str) -> list[str]:
    """The regimes that call for a strategy, in the order of the rules."""
    return list(dict.fromkeys(str(each.regime) for each in READINGS if each.strategy == name))


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
